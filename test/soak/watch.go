package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// watch compares the client's clock with the server's, all the time and from outside, and holds the difference against
// the error bound that the client's own replies publish: half its root delay plus its root dispersion (RFC 5905, section
// 10). The two questions add half of their own delays; those that a busy machine delayed by more tell nothing.
type watch struct {
	host       *lab.Host
	log        io.Writer // of what is beyond the bound; with the recording of the client it tells why
	stop, done chan struct{}

	mu      sync.Mutex
	seen    int           // comparisons while the client said that it is synchronised
	worst   time.Duration // largest error
	closest float64       // largest part of the bound that an error was
	widest  time.Duration // largest bound
	outside int           // errors beyond the bound
	first   string        // of those
}

func watchClock(h *lab.Host, log io.Writer) *watch {
	w := &watch{host: h, log: log, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(250 * time.Millisecond):
				w.compare()
			}
		}
	}()
	return w
}

// compare asks the server, the client, and the server again, so that no restart falls between the questions.
func (w *watch) compare() {
	var a [3]lab.Answer
	err := w.host.Inside(func() error {
		for i, addr := range []string{"127.0.0.1:123", clientNTP, "127.0.0.1:123"} {
			var err error
			if a[i], err = lab.Ask(addr, 200*time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
	const (
		unsynchronised = 3
		tells          = 4 * time.Millisecond
	)
	if err != nil || a[0].Delay+a[1].Delay > tells || a[0].Leap == unsynchronised || a[1].Leap == unsynchronised || (a[2].Offset-a[0].Offset).Abs() > a[0].Delay/2+a[2].Delay/2 {
		return // one of them is down, stands still, or says that it does not know the time
	}
	wrong := (a[1].Offset - a[0].Offset).Abs()
	bound := a[1].Root + a[1].Delay/2 + a[0].Delay/2
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	w.worst, w.widest = max(w.worst, wrong), max(w.widest, a[1].Root)
	w.closest = max(w.closest, float64(wrong)/float64(bound))
	if wrong > bound {
		fmt.Fprintf(w.log, "%s off by %v, published %v\n", time.Now().UTC().Format("15:04:05.000"), a[1].Offset-a[0].Offset, a[1].Root)
		if w.outside++; w.first == "" {
			w.first = fmt.Sprintf("%s: off by %v with a bound of %v", time.Now().UTC().Format(time.TimeOnly), wrong, a[1].Root)
		}
	}
}

func (w *watch) end() {
	close(w.stop)
	<-w.done
}

// judge wants the bound to hold but for one comparison in a thousand, as the filter's own test has it, and to have been
// looked at once in four seconds at least on the average.
func (w *watch) judge(during time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if least := int(during / time.Second / 4); w.seen < least {
		return fmt.Errorf("only %d comparisons of the clock, want %d", w.seen, least)
	}
	if w.outside > w.seen/1000 {
		return fmt.Errorf("the client was beyond the bound that it published in %d of %d comparisons, first at %s", w.outside, w.seen, w.first)
	}
	return nil
}

func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("%d comparisons, off by %v at most, beyond the published bound (at most %v) in %d of them, the largest error %.0f %% of it",
		w.seen, w.worst.Round(time.Microsecond), w.widest.Round(time.Microsecond), w.outside, 100*w.closest)
}

// goroutines ends a daemon in the way that makes the Go runtime write down all goroutines, and counts them.
func goroutines(d *scene.Daemon) (int, error) {
	if ended, err := d.Exited(); ended {
		return 0, fmt.Errorf("%s ended before: %w", d.Name, err)
	}
	if err := d.Signal(syscall.SIGABRT); err != nil {
		return 0, err
	}
	for range 100 {
		if ended, _ := d.Exited(); ended {
			if n := strings.Count(d.Text(), "\ngoroutine "); n > 0 {
				return n, nil
			}
			return 0, errors.New("no goroutines in the last words: " + d.Tail(3))
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0, errors.New("the daemon does not end on SIGABRT")
}
