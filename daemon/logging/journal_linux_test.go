package logging

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestJournalIsTheStreamThatItNames(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	for stream, want := range map[string]bool{name: true, "": false, name + "1": false, "9:" + name: false, ":": false} {
		if got := isStream(f, stream); got != want {
			t.Errorf("%q: %v", stream, got)
		}
	}
	if err := f.Close(); err != nil || isStream(f, name) {
		t.Errorf("a closed file is the journal (%v)", err)
	}
}
