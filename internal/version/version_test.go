package version

import (
	"runtime/debug"
	"testing"
	"time"
)

func TestFloor(t *testing.T) {
	for made, want := range map[string]time.Time{
		"":                     epoch,
		"yesterday":            epoch,
		"2020-01-01T00:00:00Z": epoch, // whoever made that had a wrong clock
		"2027-02-03T04:05:06Z": time.Date(2027, 2, 2, 4, 5, 6, 0, time.UTC),
	} {
		settings := []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.time", Value: made}}
		if got := floor(settings); !got.Equal(want) {
			t.Errorf("made %q: %v, want %v", made, got, want)
		}
	}
	if f := Floor(); f.Before(epoch) || f.After(time.Now()) {
		t.Errorf("the floor of this build is %v", f)
	}
}
