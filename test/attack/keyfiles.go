package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/scene"
)

var keyFileRows = []scene.Row{
	{ID: "T81", Limit: 4 * time.Minute, What: "key files with odd contents: read exactly, or refused", Prove: oddKeyFiles},
}

// oddKeyFiles starts servers with files of cookie keys and private keys that something is wrong with. A file of cookie keys
// that is none is named, left alone and not used; a private key is used as it is, or the daemon ends with a reason.
func oddKeyFiles(t *scene.Trial) {
	h := t.Host("host")
	const keyset = "[keyset]\nkey-storage-path = \"/run/lab/keys\"\n"
	file := filepath.Join(h.Dir, "keys")
	start := func(text string) *scene.Daemon { return t.Daemon(h, "server", text) }
	d := start(scene.Server + keyset)
	t.Serving(d, "127.0.0.1:123")
	session := t.Session(h, exchangeAddr, "server.test")
	good, err := os.ReadFile(file)
	t.Check(err)
	d.Stop()
	t.Check(os.Remove(d.Log))
	known := func() bool {
		s := t.Dial(h, "127.0.0.1:123")
		replies, err := s.Volley([][]byte{session.Request(scene.Parts{})})
		t.Check(err)
		if len(replies) != 1 {
			t.Fatal("%d answers to a protected request", len(replies))
		}
		a, err := session.Open(replies[0].Payload)
		t.Check(err)
		return a.Authentic
	}
	d = start(scene.Server + keyset)
	t.Serving(d, "127.0.0.1:123")
	if !known() {
		t.Fatal("the keys that were stored are not used")
	}
	d.Stop()
	good, err = os.ReadFile(file) // what the daemon leaves behind
	t.Check(err)
	t.Control("keys that were stored are used again")

	changed := func(f func(b []byte)) []byte {
		b := slices.Clone(good)
		f(b)
		return b
	}
	for name, content := range map[string][]byte{
		"an empty file": {}, "one octet": {0}, "an octet less": good[:len(good)-1], "an octet more": append(slices.Clone(good), 0),
		"a line more": append(slices.Clone(good), "\n# keys\n"...), "text": []byte("# keys\n1 SHA1 HEX:00\n"), "half of it": good[:len(good)/2], "the file twice": append(slices.Clone(good), good...),
		"zeros for a key":  changed(func(b []byte) { clear(b[20:84]) }),
		"no keys":          changed(func(b []byte) { binary.BigEndian.PutUint32(b[16:], 0) })[:20],
		"2^32 - 1 keys":    changed(func(b []byte) { binary.BigEndian.PutUint32(b[16:], 1<<32-1) }),
		"a key beyond":     changed(func(b []byte) { binary.BigEndian.PutUint32(b[12:], 1<<31) }),
		"the year 584 000": changed(func(b []byte) { binary.BigEndian.PutUint64(b, 1<<44) }),
	} {
		t.Check(os.WriteFile(file, content, 0o600))
		t.Check(os.Remove(d.Log))
		d = start(scene.Server + keyset)
		t.Serving(d, "127.0.0.1:123")
		honest(t, h)
		if known() {
			t.Fatal("with %s, old cookies are taken", name)
		}
		d.Stop()
		after, err := os.ReadFile(file)
		t.Check(err)
		if !bytes.Equal(after, content) {
			t.Fatal("%s was written over", name)
		}
		if n := strings.Count(d.Text(), "/run/lab/keys"); n < 1 || n > 2 {
			t.Fatal("%s is named %d times: %s", name, n, d.Text())
		}
	}
	t.Saw("13 files of cookie keys refused, named and left alone")
	oddPrivateKeys(t, h.Dir, start)
}

func oddPrivateKeys(t *scene.Trial, dir string, start func(string) *scene.Daemon) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		t.Check(err)
		return b
	}
	key, other := read("server.key"), read("second.key")
	params := []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n")
	cases := []struct {
		name  string
		text  []byte
		taken bool
	}{
		{"the key", key, true},
		{"text in front", append([]byte("Bag Attributes\n    friendlyName: server\n"), key...), true},
		{"lines that end as in DOS", bytes.ReplaceAll(key, []byte("\n"), []byte("\r\n")), true},
		{"the curve in front", append(slices.Clone(params), key...), true},
		{"another key behind", slices.Concat(key, other), true},
		{"another key in front", slices.Concat(other, key), false},
		{"half of it", key[:len(key)/2], false},
		{"a letter changed", bytes.Replace(key, key[60:64], []byte("####"), 1), false},
		{"the certificate", read("server.chain.pem"), false},
		{"nothing", nil, false},
		{"only the curve", params, false},
		{"zeros", make([]byte, 4096), false},
	}
	for _, c := range cases {
		t.Check(os.WriteFile(filepath.Join(dir, "odd.key"), c.text, 0o600))
		d := start(strings.Replace(scene.Server, "server.key", "odd.key", 1))
		if c.taken {
			t.Serving(d, "127.0.0.1:123")
			if _, err := t.KeyExchange(d.Host, exchangeAddr, "server.test"); err != nil {
				t.Fatal("%s: %v", c.name, err)
			}
			d.Stop()
			continue
		}
		t.Eventually(10*time.Second, func() error {
			if ended, _ := d.Exited(); !ended {
				return fmt.Errorf("with %s the daemon runs", c.name)
			}
			return nil
		})
		if !strings.Contains(d.Tail(2), "odd.key") {
			t.Fatal("with %s the file is not named: %s", c.name, d.Tail(2))
		}
	}
	t.Saw("of %d files of private keys five are read exactly, and with the others the daemon ends and names the file", len(cases))
}
