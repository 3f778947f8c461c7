package history

import (
	_ "embed" // the schema
	"math"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Schema is the version of Document.
const Schema = 1

// DocumentSchema is the JSON schema of Document.
//
//go:embed history-1.json
var DocumentSchema []byte

// Document is a history. Times are Unix time in seconds by the clock as it is
// now, the others seconds or seconds per second; nil is what was not known.
type Document struct {
	Schema  int      `json:"schema"`
	From    float64  `json:"from"` // of what was asked for, not of what there is
	To      float64  `json:"to"`
	Clock   []Clock  `json:"clock"`
	Sources []Source `json:"sources"`
}

// Clock is the clock at a moment.
type Clock struct {
	Time        float64  `json:"time"`
	Offset      *float64 `json:"offset"` // true time minus clock
	Uncertainty *float64 `json:"uncertainty"`
	ErrorBound  *float64 `json:"error_bound"` // nil while not synchronised
	Frequency   float64  `json:"frequency"`
}

// Source is what was measured of one server.
type Source struct {
	Name    string  `json:"name"`
	Address string  `json:"address"`
	Points  []Point `json:"points"`
}

// Point is one measurement.
type Point struct {
	Time        float64  `json:"time"`
	Offset      float64  `json:"offset"` // source minus clock
	Delay       float64  `json:"delay"`
	Uncertainty *float64 `json:"uncertainty"` // of what is known of the source by then
}

// Document gives the history of the last span, at most Span. wall is the
// clock's time at now.
func (r *Ring) Document(span time.Duration, now proto.Now, wall time.Time) Document {
	if span <= 0 || span > Span {
		span = Span
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.ticks(now.Mono)
	to := float64(wall.UnixNano()) / 1e9
	first := uint32(0)
	if s := uint32(span / tick); end > s {
		first = end - s
	}
	when := func(at uint32) float64 { return milli(to - float64(end-min(at, end))*tick.Seconds()) }
	d := Document{Schema: Schema, From: milli(to - span.Seconds()), To: milli(to), Clock: []Clock{}, Sources: []Source{}}
	r.clock.each(func(p *clockPoint) {
		if p.at >= first {
			d.Clock = append(d.Clock, p.clock(when(p.at)))
		}
	})
	points := make([][]Point, len(r.names))
	r.sources.each(func(p *sourcePoint) {
		if p.at >= first && p.source != gone {
			points[p.source] = append(points[p.source], Point{
				Time: when(p.at), Offset: p.offset, Delay: float64(p.delay), Uncertainty: known(p.sigma),
			})
		}
	})
	for i, all := range points {
		if len(all) > 0 {
			d.Sources = append(d.Sources, Source{Name: r.names[i].name, Address: r.names[i].address, Points: all})
		}
	}
	slices.SortStableFunc(d.Sources, func(a, b Source) int { return int(1000 * (a.Points[0].Time - b.Points[0].Time)) })
	return d
}

func (p *clockPoint) clock(at float64) Clock {
	c := Clock{Time: at, Frequency: p.drift}
	if p.flags&flagOffset != 0 {
		offset := p.offset
		c.Offset, c.Uncertainty = &offset, known(p.sigma)
	}
	if p.flags&flagSynchronised != 0 {
		c.ErrorBound = known(p.bound)
	}
	return c
}

// known is nil for what stands for "not known".
func known(v float32) *float64 {
	if !(v < 1<<30) {
		return nil
	}
	f := float64(v)
	return &f
}

// milli rounds a time to milliseconds.
func milli(t float64) float64 { return math.Round(t*1e3) / 1e3 }
