package daemon

import (
	"log/slog"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// TestWhatIsSavedIsThereAgain after any number of saves: each start finds what
// the last one wrote, a panic included, and nothing of those before.
func TestWhatIsSavedIsThereAgain(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, rapid.StringMatching(`[a-z]{12}`).Draw(t, "file"))
		for range rapid.IntRange(1, 4).Draw(t, "saves") {
			want := engine.State{
				Frequency:        rapid.Float64Range(-400e-6, 400e-6).Draw(t, "frequency"),
				FrequencySigma:   rapid.Float64Range(1e-9, 1e-4).Draw(t, "sigma"),
				AccumulatedSteps: proto.FromSeconds(rapid.Float64Range(0, 1e4).Draw(t, "steps")),
				Panicked:         rapid.Bool().Draw(t, "panicked"),
			}
			s := &saved{path: path, log: slog.New(slog.DiscardHandler)}
			if err := s.save(want); err != nil {
				t.Fatal(err)
			}
			again := &saved{path: path, log: slog.New(slog.DiscardHandler)}
			got, known := again.load()
			if !known || got.Panicked != want.Panicked || got.Frequency != want.Frequency || got.FrequencySigma != want.FrequencySigma ||
				(got.AccumulatedSteps-want.AccumulatedSteps).Abs() > proto.Second/1_000_000 {
				t.Fatalf("saved %+v, loaded %+v, %v", want, got, known)
			}
		}
	})
}
