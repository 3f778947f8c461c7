package clock

import (
	"slices"
	"sort"

	"github.com/ntpd-go/ntpd-go/proto"
)

// keptSegments is how many segments of the past a software clock remembers,
// for stamps that are converted late. An adjustment makes two at most.
const keptSegments = 16

// segments are the recent past and the planned future of a software clock:
// scales in the order of their start, each valid until the next begins. There
// is always one, and none is ever modified.
type segments []proto.Scale

// begun is how many segments have begun at a raw instant.
func (s segments) begun(r proto.Raw) int {
	return sort.Search(len(s), func(i int) bool { return s[i].Raw > r })
}

// at is the segment valid at a raw instant: the oldest one for everything
// before it.
func (s segments) at(r proto.Raw) proto.Scale { return s[max(s.begun(r)-1, 0)] }

// time is the clock's time at a raw instant.
func (s segments) time(r proto.Raw) proto.Timestamp { return s.at(r).Time(r) }

// from replaces what was planned behind a raw instant.
func (s segments) from(r proto.Raw, next ...proto.Scale) segments {
	n := s.begun(r)
	return slices.Concat(s[max(n-keptSegments, 0):n], next)
}
