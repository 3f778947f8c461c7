package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine is the longest line that is read, in octets. The longest that is
// written is a new configuration with hundreds of sources.
const maxLine = 4 << 20

// ErrCut is for a recording whose last line is not whole: the daemon was
// killed, or the disk was full. What stands before it can be replayed.
var ErrCut = errors.New("the line is cut off; what stands before it is whole")

// Reader reads a recording.
type Reader struct {
	lines *bufio.Reader
	n     int
	ended bool
}

// NewReader reads the first line. Errors name the line.
func NewReader(r io.Reader) (*Reader, Head, error) {
	var h Head
	d := &Reader{lines: bufio.NewReader(r)}
	b, err := d.next()
	if errors.Is(err, io.EOF) {
		return nil, h, errors.New("line 1: the file is empty; a recording is made by ntp-daemon --record FILE")
	}
	if err != nil {
		return nil, h, err
	}
	if json.Unmarshal(b, &h) != nil || h.Version == 0 {
		return nil, h, errors.New("line 1: this is no recording; one is made by ntp-daemon --record FILE")
	}
	if h.Version != Version {
		return nil, h, fmt.Errorf("line 1: a recording of version %d; this program reads version %d", h.Version, Version)
	}
	if err := strict(b, &h); err != nil {
		return nil, h, fmt.Errorf("line 1: %w", err)
	}
	return d, h, nil
}

// Line is the number of the line that was read last, from 1.
func (d *Reader) Line() int { return d.n }

// Next reads a step; the last one may have only End. The error is io.EOF after
// the last line, and else names the line.
func (d *Reader) Next() (Step, error) {
	b, err := d.next()
	if err != nil {
		return Step{}, err
	}
	if d.ended {
		return Step{}, fmt.Errorf("line %d: %w: it stands behind the end", d.n, errForm)
	}
	var l line
	if err := strict(b, &l); err != nil {
		return Step{}, fmt.Errorf("line %d: %w: %w", d.n, errForm, err)
	}
	if l.End != "" {
		d.ended = true
		return Step{End: l.End}, nil
	}
	if l.Now == nil {
		return Step{}, fmt.Errorf("line %d: %w: it has no time", d.n, errForm)
	}
	s := Step{Now: *l.Now, Random: l.Random}
	for _, a := range l.Actions {
		s.Actions = append(s.Actions, a)
	}
	if len(l.Event) > 0 {
		if s.Event, err = decodeEvent(l.Event); err != nil {
			return Step{}, fmt.Errorf("line %d: %w", d.n, err)
		}
	}
	return s, nil
}

// next reads a line with its end.
func (d *Reader) next() ([]byte, error) {
	var b []byte
	for {
		part, err := d.lines.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case len(b) > maxLine:
			return nil, fmt.Errorf("line %d: longer than %d octets, so not of a recording", d.n+1, maxLine)
		case err == nil:
			d.n++
			return bytes.TrimSuffix(b, []byte("\n")), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(b) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("line %d: %w", d.n+1, ErrCut)
		default:
			return nil, fmt.Errorf("line %d: %w", d.n+1, err)
		}
	}
}
