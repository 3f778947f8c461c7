package kalman

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// vote counts what the selected sources say about the coming leap second. A
// flag needs more than half of those that know.
func (d *Discipline) vote() {
	var count [4]int
	known := 0
	for _, s := range d.sources {
		if s.state == Selected && s.cfg.Voting && (s.cfg.Trusted || !d.exclusive) && s.leap < proto.LeapUnsynchronised {
			count[s.leap]++
			known++
		}
	}
	says := proto.LeapNone
	for leap, n := range count {
		if 2*n > known {
			says = proto.Leap(leap)
		}
	}
	if says != d.leap {
		d.leap = says
		d.note(Note{Code: "leap", Text: "the sources announce: " + says.String()})
	}
}

// leaps recognises the leap second itself: the clock moved by a second where
// one was announced, at the end of the day, or the start of the next. True
// time did the same, so only the ledger moves.
func (d *Discipline) leaps(now proto.Now, by proto.Duration) bool {
	second := proto.Second
	if d.leap == proto.LeapInsert {
		second = -second
	}
	night := now.Wall.Add(-leapSlack * proto.Second)
	into := seconds(now.Wall.Add(leapSlack*proto.Second)) % 86400
	known := d.leap == proto.LeapInsert || d.leap == proto.LeapDelete
	if !known || into > 2*leapSlack || !leapDay(night) || (by-second).Abs() > proto.Second/10 {
		return false
	}
	for _, s := range d.sources {
		s.voice.origin += second
	}
	d.joint.origin += second
	d.quiet = now.Mono.Add(leapSlack * time.Second)
	d.note(Note{Code: "leap", Text: "the leap second was applied: " + d.leap.String()})
	return true
}

// leapDay says whether the day of a time can end in a leap second: the last
// day of June or December (ITU-R TF.460 prefers them, no other was ever used).
func leapDay(t proto.Timestamp) bool {
	month, day := monthDay(t)
	return (month == 6 && day == 30) || (month == 12 && day == 31)
}

// monthDay is the civil date of a timestamp between 1968 and 2104.
func monthDay(t proto.Timestamp) (month, day int) {
	// Days since 1600-03-01, so that leap days end the year; 1900-01-01 is
	// 109513 days later.
	n := seconds(t)/86400 + 109513
	n %= 146097 // a cycle of 400 years
	century := min(n/36524, 3)
	n -= century * 36524
	n %= 1461 // of four years
	n -= min(n/365, 3) * 365
	m := (5*n + 2) / 153 // from March
	return int((m+2)%12) + 1, int(n-(153*m+2)/5) + 1
}

// seconds since 1900, of a timestamp between 1968 and 2104.
func seconds(t proto.Timestamp) int64 {
	s := int64(t >> 32)
	if s < 1<<31 {
		s += 1 << 32 // era 1
	}
	return s
}
