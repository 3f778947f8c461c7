package recording

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// Recorder makes the lines of a recording. It belongs to the goroutine that
// owns the engine. After an error there is nothing more to record.
type Recorder struct {
	scrubber *scrubber
	drawn    []byte
}

// NewRecorder starts a recording. secret keys what replaces keys and cookies:
// it must be random, of use nowhere else, and not kept.
func NewRecorder(secret [32]byte) *Recorder { return &Recorder{scrubber: newScrubber(secret)} }

// Entropy is the source of randomness for the engine: r, noting what was drawn.
func (r *Recorder) Entropy(from io.Reader) io.Reader { return &tee{from: from, to: &r.drawn} }

type tee struct {
	from io.Reader
	to   *[]byte
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	*t.to = append(*t.to, p[:n]...)
	return n, err
}

// drain returns what was drawn since the last line.
func (r *Recorder) drain() []byte {
	d := r.drawn
	r.drawn = nil
	return d
}

// Head is the first line, after the engine was made.
func (r *Recorder) Head(h Head) ([]byte, error) {
	h.Version, h.Random = Version, r.drain()
	return ended(json.Marshal(h))
}

// Step is the line of a call of the engine: an event, or nil for Advance, and
// the actions that came of it, before any of them was carried out.
func (r *Recorder) Step(now proto.Now, ev engine.Event, actions []engine.Action) ([]byte, error) {
	l := line{Now: &now, Random: r.drain()}
	var err error
	if ev != nil {
		if l.Event, err = encodeEvent(r.scrubber.event(ev)); err != nil {
			return nil, fmt.Errorf("recording: event %T: %w", ev, err)
		}
	}
	for _, a := range actions {
		if a, err = r.scrubber.action(a); err != nil {
			return nil, err
		}
		b, err := Action(a)
		if err != nil {
			return nil, fmt.Errorf("recording: action %T: %w", a, err)
		}
		l.Actions = append(l.Actions, b)
	}
	return ended(json.Marshal(l))
}

// End is the last line.
func End(why string) []byte {
	b, err := ended(json.Marshal(line{End: why}))
	if err != nil { // a string always marshals
		return nil
	}
	return b
}

func ended(b []byte, err error) ([]byte, error) { return append(b, '\n'), err }
