package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// What each boot of a duel is given: time to come right, then time in which it is judged.
const (
	duelWrong  = 500 * time.Millisecond
	duelSettle = 60 * time.Second
	duelJudged = 60 * time.Second
	duelLimit  = 5 * time.Minute // for one boot
)

// rival is a daemon that steers the guest's clock and serves it.
type rival struct {
	name, file, config string
	args               []string
}

var rivals = []rival{
	{"ntpd-go", "/project/duel.toml", steerConfig, []string{"ntp-daemon", "-c", "duel.toml"}},
	{"chrony 4.3", "/project/chrony.conf",
		"pool pool.ntp.org iburst maxsources 4\nmakestep 1.0 3\nallow all\ncmdport 0\ndriftfile /project/drift\npidfile /run/chronyd.pid\n",
		[]string{"/usr/sbin/chronyd", "-d", "-u", "root", "-f", "/project/chrony.conf"}},
}

// addChrony adds the chrony of Debian 12 and the libraries that it needs to a machine's file system.
func addChrony(a *archive) error {
	f, err := lab.OpenFolder("bookworm", say)
	if err == nil {
		err = f.Install("chrony")
	}
	if err == nil {
		err = f.Overlay("chrony")
	}
	if err != nil {
		return err
	}
	out, err := f.Query("ldd", "/usr/sbin/chronyd")
	if err != nil {
		return err
	}
	files := []string{"/usr/sbin/chronyd"}
	for field := range strings.FieldsSeq(out) {
		if strings.HasPrefix(field, "/") {
			files = append(files, field)
		}
	}
	for _, name := range files {
		path, err := f.Query("readlink", "-f", name)
		if err != nil {
			return err
		}
		if err := addFile(a, strings.TrimPrefix(name, "/"), filepath.Join(f.Path, strings.TrimSpace(path)), 0o755); err != nil {
			return err
		}
	}
	a.dir("var/lib/chrony")
	a.dir("run")
	return nil
}

// run boots a machine in which one rival steers and returns the errors of its clock, in seconds, one a second, and how much
// two measurements in a row differ: what the measuring itself cannot see.
func (r *rival) run(ctx context.Context, img *image, dir string) (errs, floor []float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, duelLimit)
	defer cancel()
	h, err := lab.NewHost("duel", dir)
	if err != nil {
		return nil, nil, err
	}
	defer h.Close()
	m, err := img.boot(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	defer m.halt()
	err = m.startServers(ctx, "pool.ntp.org")
	if err == nil {
		err = m.write(ctx, r.file, r.config)
	}
	if err == nil {
		err = m.setClock(ctx, duelWrong)
	}
	if err == nil {
		err = m.start(ctx, "client", r.args...)
	}
	if err != nil {
		return nil, nil, err
	}
	defer m.keepLogs("client")
	began := time.Now()
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for time.Since(began) < duelSettle+duelJudged {
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-every.C:
		}
		if time.Since(began) < duelSettle {
			continue
		}
		first, err := m.ask()
		if err != nil {
			return nil, nil, err
		}
		second, err := m.ask()
		if err != nil {
			return nil, nil, err
		}
		if first.Leap == 3 {
			return nil, nil, fmt.Errorf("%s is not synchronised after %v", r.name, duelSettle)
		}
		errs = append(errs, first.Offset.Seconds())
		floor = append(floor, (first.Offset-second.Offset).Seconds()/math.Sqrt2)
	}
	return errs, floor, nil
}

func rms(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum / float64(len(v)))
}

// duel boots machines in turns, so many for each rival, and compares the medians of their errors.
func duel(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	img, err := build(dir, o)
	if err != nil {
		return err
	}
	all, floors := map[string][]float64{}, []float64{}
	for round := range o.duel {
		for i := range rivals {
			r := &rivals[(i+round)%len(rivals)]
			errs, floor, err := r.run(ctx, img, filepath.Join(dir, fmt.Sprintf("%d-%d", round, i)))
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if len(errs) == 0 {
				return errors.New("nothing was measured")
			}
			fmt.Printf("boot %2d  %-10s  RMS %7.1f us, floor %6.1f us, %d measurements\n",
				2*round+i+1, r.name, rms(errs)*1e6, rms(floor)*1e6, len(errs))
			all[r.name] = append(all[r.name], rms(errs))
			floors = append(floors, rms(floor))
		}
	}
	ours, theirs := lab.Median(all[rivals[0].name]), lab.Median(all[rivals[1].name])
	fmt.Printf("duel: ours %.1f us, chrony %.1f us, ratio %.2f, floor %.1f us, %d boots each\n",
		ours*1e6, theirs*1e6, ours/theirs, lab.Median(floors)*1e6, o.duel)
	return nil
}
