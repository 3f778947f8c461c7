package kalman

import "github.com/ntpd-go/ntpd-go/proto"

// vote counts what the selected sources say about the coming leap second. A
// flag needs more than half of those that know.
func (d *Discipline) vote() {
	var count [4]int
	known := 0
	for _, s := range d.sources {
		if s.state == Selected && s.cfg.Voting && s.leap < proto.LeapUnsynchronised {
			count[s.leap]++
			known++
		}
	}
	for leap, n := range count {
		if 2*n > known && d.leap != proto.Leap(leap) {
			d.leap = proto.Leap(leap)
			d.note(Note{Code: "leap", Text: "the sources announce: " + d.leap.String()})
		}
	}
}

// leapDay says whether the day of a time can end in a leap second: the last
// day of June or December (ITU-R TF.460 prefers them, no other was ever used).
func leapDay(t proto.Timestamp) bool {
	month, day := monthDay(t)
	return (month == 6 && day == 30) || (month == 12 && day == 31)
}

// monthDay is the civil date of a timestamp between 1968 and 2104.
func monthDay(t proto.Timestamp) (month, day int) {
	seconds := int64(t >> 32)
	if seconds < 1<<31 {
		seconds += 1 << 32 // era 1
	}
	// Days since 1600-03-01, so that leap days end the year; 1900-01-01 is
	// 109512 days later.
	n := seconds/86400 + 109512
	n %= 146097 // a cycle of 400 years
	century := min(n/36524, 3)
	n -= century * 36524
	n %= 1461 // of four years
	n -= min(n/365, 3) * 365
	m := (5*n + 2) / 153 // from March
	return int((m+2)%12) + 1, int(n-(153*m+2)/5) + 1
}
