package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// RFC 8915 section 8.2: "NTP and NTS-KE server operators SHOULD remove
// compromised keys as soon as the compromise is discovered. This will cause the
// NTP servers to respond with NTS NAK". To remove the file and start again is
// enough: no cookie under the old keys opens.
func TestRFC8915Section8_2CompromisedKeysAreRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	now := time.Unix(1_700_000_000, 0)
	var log bytes.Buffer
	before := open(t, path, &log, now)
	c := seal(t, before)
	if _, err := open(t, path, &log, now).current.Load().Open(c); err != nil {
		t.Fatalf("with the file the cookie does not open: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	after := open(t, path, &log, now)
	if _, err := after.current.Load().Open(c); err == nil {
		t.Error("a cookie under the keys that were removed still opens")
	}
	if after.current.Load().Newest() == before.current.Load().Newest() {
		t.Error("the sealing key is the same")
	}
	if data, err := os.ReadFile(path); err != nil || len(data) == 0 {
		t.Errorf("the new keys are not in the file: %d octets, %v", len(data), err)
	}
}
