package pool

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// tellsMost is how many changes of one source's state are logged at once,
	// and tellsEvery how long it takes until one more is. A source that
	// flaps, or that a stranger can bring to fail and to work in turns, does
	// not fill the log.
	tellsMost  = 6
	tellsEvery = 5 * time.Minute
)

// teller logs what happens to one source in one family, and counts what it
// leaves out.
type teller struct {
	mu    sync.Mutex
	left  int
	since time.Time // when left was last reckoned; zero at first
	quiet int       // lines that were left out since the last one
}

// tell logs, unless there was too much already.
func (l *leg) tell(level slog.Level, message string, more ...any) {
	quiet, ok := l.said.admit(time.Now())
	if !ok {
		return
	}
	if quiet > 0 {
		more = append(more, "changes_not_logged", quiet)
	}
	l.up.log.Log(context.Background(), level, message, l.about(more...)...)
}

func (t *teller) admit(now time.Time) (quiet int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		t.left, t.since = tellsMost, now
	}
	if n := int(now.Sub(t.since) / tellsEvery); n > 0 {
		t.left = min(tellsMost, t.left+n)
		t.since = t.since.Add(time.Duration(n) * tellsEvery)
	}
	if t.left == 0 {
		t.quiet++
		return 0, false
	}
	t.left--
	quiet, t.quiet = t.quiet, 0
	return quiet, true
}
