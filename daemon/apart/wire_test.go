package apart

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/privilege"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

func TestFramesAreBounded(t *testing.T) {
	good := appendFrame(nil, frameMark, []byte{1, 2, 3})
	k, b, err := readFrame(bytes.NewReader(good), 3)
	if k != frameMark || !bytes.Equal(b, []byte{1, 2, 3}) || err != nil {
		t.Errorf("%v %x %v", k, b, err)
	}
	if _, _, err := readFrame(bytes.NewReader(good), 2); !errors.Is(err, errBound) {
		t.Errorf("too long: %v", err)
	}
	other := slices.Clone(good)
	other[0]++
	if _, _, err := readFrame(bytes.NewReader(other), 3); !errors.Is(err, errFrame) {
		t.Errorf("another version: %v", err)
	}
	for n := range good {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, _, err := readFrame(bytes.NewReader(good[:n]), 3); !errors.Is(err, want) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	// What is claimed is not allocated: 4 GiB would be.
	if _, _, err := readFrame(bytes.NewReader([]byte{version, 1, 255, 255, 255, 255}), maxFromHost); !errors.Is(err, errBound) {
		t.Errorf("4 GiB: %v", err)
	}
}

func TestSettingsArriveAsTheyWere(t *testing.T) {
	w := newWorld(t)
	for _, s := range []Settings{
		{Timeout: time.Second, Connections: 1, Kept: -1},
		{Timeout: time.Hour, Connections: 1 << 20, Kept: 3, NTPServer: "ntp.example.net", NTPPort: 123, Verbose: true,
			Authorise: ke.NewAuthoriser([]string{"one", "two"}, nil)},
	} {
		s.Authorise = ke.AuthoriserOf(s.Authorise.Digests()) // nil is nobody too
		b := appendSettings(nil, 7, &s)
		section, got, err := parseSettings(b)
		if section != 7 || err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%d, %+v, %v; want %+v", section, got, err, s)
		}
		if bytes.Contains(b, []byte("two")) {
			t.Error("a token is sent")
		}
		cutOff(t, b, func(b []byte) error { _, _, err := parseSettings(b); return err })
	}
	c := w.leaf()
	b, err := appendCertificate(nil, 2, &c)
	if err != nil {
		t.Fatal(err)
	}
	section, got, err := parseCertificate(b)
	if section != 2 || err != nil || !reflect.DeepEqual(got.Certificate, c.Certificate) || !reflect.DeepEqual(got.PrivateKey, c.PrivateKey) || got.Leaf == nil {
		t.Errorf("%d, %v, %v", section, got.Certificate, err)
	}
	if _, err := appendCertificate(nil, 0, &tls.Certificate{PrivateKey: "none"}); err == nil {
		t.Error("no key, no error")
	}
	cutOff(t, b, func(b []byte) error { _, _, err := parseCertificate(b); return err })
}

// cutOff gives every beginning of a body, of which none may be taken.
func cutOff(t *testing.T, b []byte, parse func([]byte) error) {
	t.Helper()
	for n := range b {
		if parse(b[:n]) == nil {
			t.Errorf("%d of %d octets are enough", n, len(b))
		}
	}
}

func TestEventsArriveAsTheyWere(t *testing.T) {
	for _, o := range []ke.Outcome{
		{Kind: ke.AcceptFailed, Detail: "too many open files"},
		{Kind: ke.Panicked, Remote: netip.MustParseAddrPort("192.0.2.1:99"), Detail: "index out of range"},
		{Kind: ke.KeyExchange, Remote: netip.MustParseAddrPort("[2001:db8::1]:4")},
	} {
		section, got, err := parseEvent(appendEvent(nil, 1, o), 2)
		if section != 1 || got != o || err != nil {
			t.Errorf("%d, %+v, %v; want %+v", section, got, err, o)
		}
	}
	long := appendEvent(nil, 0, ke.Outcome{Detail: strings.Repeat("x", 2*longestDetail)})
	if _, o, err := parseEvent(long, 1); err != nil || len(o.Detail) != longestDetail || len(long) > maxFromChild {
		t.Errorf("%d octets, %v", len(o.Detail), err)
	}
	for _, filtered := range []bool{false, true} {
		got := privilege.Result{Capabilities: []string{"CAP_A", "CAP_B"}, Landlock: 7, Filtered: filtered}
		landlock, f, capabilities, failure, err := parseConfined(appendConfined(nil, got, io.EOF))
		if landlock != 7 || f != filtered || capabilities != "CAP_A CAP_B" || failure != "EOF" || err != nil {
			t.Error(landlock, f, capabilities, failure, err)
		}
	}
	for _, c := range []string{"CAP_A\nlevel=INFO", "cap_a", "CAP_A,", "\x1b[31m"} {
		if _, _, _, _, err := parseConfined(appendConfined(nil, privilege.Result{Capabilities: []string{c}}, nil)); err == nil {
			t.Errorf("%q is taken for a capability", c)
		}
	}
	if _, _, _, _, err := parseConfined(append(appendConfined(nil, privilege.Result{}, nil), make([]byte, longestDetail+1)...)); err == nil {
		t.Error("a failure that is too long is taken")
	}
}

// FuzzWhatTheProcessSays: whoever took the process over says what they like,
// and the daemon takes what fits or calls it malformed.
func FuzzWhatTheProcessSays(f *testing.F) {
	f.Add(appendEvent(nil, 1, ke.Outcome{Kind: ke.Panicked, Remote: netip.MustParseAddrPort("192.0.2.1:99"), Detail: "x"}))
	f.Add(appendConfined(nil, privilege.Result{Capabilities: []string{"A"}}, nil))
	f.Add(appendNumber(nil, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		section, o, err := parseEvent(b, 2)
		if err == nil {
			if section >= 2 || int(o.Kind) >= ke.Kinds || len(o.Detail) > longestDetail {
				t.Errorf("section %d, %+v", section, o)
			}
			if again := appendEvent(nil, section, o); o.Remote.IsValid() && !o.Remote.Addr().Is4() && !bytes.Equal(again, b) {
				t.Errorf("%x becomes %x", b, again)
			}
		}
		_, _, _, _, _ = parseConfined(b)
		_, _ = parseNumber(b)
	})
}

// The process never gets a cookie key but the newest, at the start and after.
func TestOnlyTheNewestCookieKeyIsSent(t *testing.T) {
	w := newWorld(t)
	var old [][]byte
	for range 3 {
		old = append(old, w.newest()[4:])
		w.rotate()
	}
	all, has, err := w.frames(0)
	if err != nil || !bytes.Contains(all, w.newest()) {
		t.Fatalf("the newest is not sent, %v", err)
	}
	old = append(old, w.newest()[4:])
	if err := w.Present(0, w.leaf()); err != nil {
		t.Fatal(err)
	}
	more, has, err := w.frames(has)
	if err != nil || bytes.Contains(more, old[3]) {
		t.Errorf("the key is sent without need, %v", err)
	}
	w.rotate()
	w.Renewed()
	renewed, has, err := w.frames(has)
	if want := frameHeader + len(w.newest()) + frameHeader + 8; err != nil || len(renewed) != want || !bytes.Contains(renewed, w.newest()) {
		t.Errorf("%d octets renew the key instead of %d, %v", len(renewed), want, err)
	}
	for i, key := range old {
		if i < 3 && bytes.Contains(all, key) || bytes.Contains(renewed, key) {
			t.Errorf("old key %d is sent", i)
		}
	}
	if none, _, err := w.frames(has); len(none) > 0 || err != nil {
		t.Errorf("nothing is new, and %d octets are sent, %v", len(none), err)
	}
}

// The process takes nothing out of order, and no key that is none.
func TestTheProcessIsStrict(t *testing.T) {
	w := newWorld(t)
	c := w.leaf()
	certificate, err := appendCertificate(nil, 0, &c)
	if err != nil {
		t.Fatal(err)
	}
	settings := appendSettings(nil, 0, &w.cfg.Sections[0].Settings)
	for name, frames := range map[string][]byte{
		"begin at once":            appendFrame(nil, frameBegin, nil),
		"settings of another":      appendFrame(nil, frameSettings, appendSettings(nil, 1, &w.cfg.Sections[0].Settings)),
		"certificate of nobody":    appendFrame(nil, frameCertificate, certificate),
		"a key of zeros":           appendFrame(nil, frameCookieKey, make([]byte, 68)),
		"a short key":              appendFrame(nil, frameCookieKey, w.newest()[1:]),
		"a frame of the process":   appendFrame(nil, frameMarked, nil),
		"settings without key":     append(appendFrame(nil, frameSettings, settings), appendFrame(nil, frameBegin, nil)...),
		"cut off within the frame": {version, byte(frameMark)},
	} {
		p := &process{control: &scripted{Reader: bytes.NewReader(frames)}, out: make(chan []byte, 9)}
		if err := p.run(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	p := &process{control: &scripted{Reader: bytes.NewReader(appendFrame(nil, frameMark, []byte{1}))}, out: make(chan []byte, 9)}
	if err := p.run(); err != nil {
		t.Errorf("a mark: %v", err)
	}
}
