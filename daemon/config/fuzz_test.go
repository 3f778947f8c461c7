package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// FuzzParse feeds both parsers anything at all. Whatever comes, they do not panic; every problem, warning and unbuilt
// key points into the file and prints as one line; the same bytes give the same result, which does not change when the
// bytes do; what has no problem is TOML to go-toml too, and keeps what the Config promises.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", everything, pool, ke, "\ufeff# mark\r\n", "a.b.c = {d = [1, {e = inf}]}", "[[source]]\n[source.x]\n"} {
		f.Add([]byte(text))
	}
	for _, b := range bad {
		f.Add([]byte(b.text))
	}
	for _, pattern := range []string{"testdata/*.toml", "../../examples/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no file matches %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := Parse("f", bytes.Clone(data))
		p, poolProblems := ParsePool("f", bytes.Clone(data))
		inFile(t, data, problems, c.Warnings, c.Unbuilt)
		inFile(t, data, poolProblems, p.Warnings, nil)

		scratch := bytes.Clone(data)
		again, sameProblems := Parse("f", scratch)
		for i := range scratch {
			scratch[i] = 'x'
		}
		quality := c.CSPTP.quality // may hold a NaN, which differs from itself
		c.CSPTP.quality, again.CSPTP.quality = nil, nil
		if !slices.Equal(problems, sameProblems) || !reflect.DeepEqual(c, again) {
			t.Error("parsing twice gives two results")
		}
		if len(problems) > 0 {
			return
		}
		promises(t, c)
		var any map[string]any
		if err := toml.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &any); err != nil && quality == nil {
			t.Errorf("go-toml does not take it for TOML: %v", err)
		}
	})
}

// inFile checks that everything said about a file is about a place in it.
func inFile(t *testing.T, data []byte, problems Problems, warnings []Warning, unbuilt []Unbuilt) {
	t.Helper()
	lines := bytes.Split(data, []byte("\n"))
	check := func(said fmt.Stringer, pos Pos, text string) {
		if pos.File != "f" || pos.Line < 1 || pos.Line > len(lines) || pos.Column < 1 || pos.Column > len(lines[pos.Line-1])+1 {
			t.Errorf("no such place: %s", said)
		}
		if text == "" || strings.ContainsAny(said.String(), "\n\r\x1b\x00") || len(said.String()) > 2000 {
			t.Errorf("not a line to show: %q", said.String())
		}
	}
	for i, p := range problems {
		check(stringer(p.Error()), p.Pos, p.Text)
		if i > 0 && p.Pos.compare(problems[i-1].Pos) < 0 {
			t.Errorf("out of order: %s", p.Error())
		}
	}
	for _, w := range warnings {
		if !w.Info || w.Pos.IsValid() {
			check(w, w.Pos, w.Text)
		}
	}
	for _, u := range unbuilt {
		check(u, u.Pos, u.Text)
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

// promises checks what holds for every Config without problems.
func promises(t *testing.T, c *Config) {
	t.Helper()
	for _, s := range c.Sources {
		asked := s.Mode >= ModeServer && s.Mode <= ModeNTSPool
		if s.Mode == 0 || asked && (s.Address.Host == "" || s.Address.Port == 0 || s.Poll.Min > s.Poll.Initial || s.Poll.Initial > s.Poll.Max) || !s.Pos.IsValid() {
			t.Errorf("source is %+v", s)
		}
	}
	for _, s := range c.Servers {
		if !s.Listen.IsValid() || len(s.AcceptNTPVersions) == 0 {
			t.Errorf("server is %+v", s)
		}
		for _, p := range append(s.Allowlist.Filter, s.Denylist.Filter...) {
			if p != p.Masked() || p.Addr().Is4In6() {
				t.Errorf("subnet is %v", p)
			}
		}
	}
	for _, s := range c.NTSKEServers {
		if !s.Listen.IsValid() || s.CertificateChainPath == "" || s.PrivateKeyPath == "" || s.ConcurrentConnections < 1 || s.KeyExchangeTimeout <= 0 {
			t.Errorf("key exchange is %+v", s)
		}
	}
	y := c.Synchronization
	if y.SingleStepPanic.Forward < 0 || y.SingleStepPanic.Backward < 0 || y.StartupStepPanic.Forward < 0 || y.StartupStepPanic.Backward < 0 || y.AccumulatedStepPanic <= 0 {
		t.Errorf("limits are %+v", y)
	}
}
