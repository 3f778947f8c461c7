package sim

import (
	"bytes"
	"strings"
	"testing"
)

// The engine that was recorded does the same again, on a clock that differs
// by roundings only; another one moves its own clock with the same packets.
func TestRerunOfTheSameAndOfAnotherFilter(t *testing.T) {
	file, _ := record(t, 8000)
	same, err := Rerun(bytes.NewReader(file))
	if err != nil || same.Stopped != "" || same.Lines != bytes.Count(file, []byte("\n")) {
		t.Fatalf("%v, %+v", err, same)
	}
	if same.Apart > 1e-6 {
		t.Errorf("the same filter is %g s off, %g s RMS", same.Apart, same.ApartRMS)
	}
	replayed, err := Replay(bytes.NewReader(file))
	if err != nil || same.Result.Steps != replayed.Result.Steps {
		t.Errorf("%v, %d and %d steps", err, same.Result.Steps, replayed.Result.Steps)
	}
	// Another one takes longer over its corrections.
	lazy := bytes.Replace(file, []byte("[source-defaults]"), []byte(`[synchronization.algorithm]\nslew-minimum-duration = 200\n[source-defaults]`), 1)
	if r, err := Replay(bytes.NewReader(lazy)); err != nil || r.Differs == nil {
		t.Fatalf("%v: the other filter does the same", err)
	}
	other, err := Rerun(bytes.NewReader(lazy))
	if err != nil || other.Lines != same.Lines || !(other.Apart > 1e-5 && other.Apart < 0.1) || !(other.ApartRMS < other.Apart) {
		t.Errorf("%v, %+v", err, other)
	}
}

// Where another engine asks at other times, it ends, and says so.
func TestARerunEndsWhereTheQuestionsDiffer(t *testing.T) {
	file, _ := record(t, 1000)
	slow := bytes.Replace(file, []byte("min = 4, max = 5"), []byte("min = 6, max = 6"), 1)
	r, err := Rerun(bytes.NewReader(slow))
	if err != nil || !strings.Contains(r.Stopped, "it asks at another time") || r.Lines < 3 {
		t.Errorf("%v, %+v", err, r)
	}
}
