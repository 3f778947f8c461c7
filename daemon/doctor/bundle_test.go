package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const precious = `# token = "inComment-token-A1"
[[nts-ke-server]]
listen = "127.0.0.1:4460"
certificate-chain-path = "chain.pem"
private-key-path = "/etc/keys/server.key"
accepted-pool-authentication-tokens = ["tokenB2", 'tokenC3',
  "tokenD4", # a comment
  "tokenE5",
]
[[source]]
mode = "nts"
address = "time.example.org"
password = """
tokenF6
tokenG7"""
proxy = "socks5://me:tokenH8@proxy.example.org:1080"
inline = { secret = "tokenI9", other = "kept" }
Shared_Token = "tokenJ0
address = "kept.example.org"
`

func TestNoSecretStaysInAConfiguration(t *testing.T) {
	got := Redact("ntp.toml", []byte(precious))
	for _, s := range []string{"inComment", "tokenB2", "tokenC3", "tokenD4", "tokenE5", "tokenF6", "tokenG7", "tokenH8", "tokenI9", "tokenJ0"} {
		if strings.Contains(got, s) {
			t.Errorf("%s is still in\n%s", s, got)
		}
	}
	for _, s := range []string{"time.example.org", "/etc/keys/server.key", "kept.example.org", "proxy.example.org:1080", "127.0.0.1:4460"} {
		if !strings.Contains(got, s) {
			t.Errorf("%s is gone from\n%s", s, got)
		}
	}
	key := "a = 1\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\nb = 2\n"
	if got := Redact("x", []byte(key)); strings.Contains(got, "AAAA") || !strings.Contains(got, "b = 2") {
		t.Errorf("%s", got)
	}
}

func TestBundleHoldsTheReportAndNoSecret(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ntp.toml")
	if err := os.WriteFile(file, []byte(precious), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &Report{Schema: Schema}
	r.add(Line{Check: "config", Status: Fail, Measured: "cannot be read"})
	var out bytes.Buffer
	if err := Bundle(&out, Options{Config: file}, r, "version 1"); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for a := tar.NewReader(z); ; {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(a)
		if err != nil || strings.Contains(string(text), "tokenB2") {
			t.Errorf("%s: %v\n%s", h.Name, err, text)
		}
		names = append(names, h.Name)
	}
	for _, want := range []string{"ntp-doctor/report.txt", "ntp-doctor/report.json", "ntp-doctor/ntp.toml", "ntp-doctor/version.txt"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %v", want, names)
		}
	}
}

// TestRedactingManyShortTokens: each letter of what stands for a secret may be a token itself. Hiding them one after the
// other would make the text three times as long with each.
func TestRedactingManyShortTokens(t *testing.T) {
	letters := strings.Repeat(`"e", "s", "c", "r", "t", "", `, 10)
	text := "[[nts-ke-server]]\naccepted-pool-authentication-tokens = [" + letters + "]\n"
	got := Redact("x", []byte(text))
	if len(got) > len(hidden)*len(text) {
		t.Errorf("%d octets became %d", len(text), len(got))
	}
}

// TestRedactTakesLongTokensFirst: what begins another must not leave its end.
func TestRedactTakesLongTokensFirst(t *testing.T) {
	text := "[[nts-ke-server]]\naccepted-pool-authentication-tokens = [\"tokenA\", \"tokenAandB\"]\n# tokenAandB, tokenA\n"
	if got := Redact("x", []byte(text)); strings.Contains(got, "andB") || strings.Contains(got, "tokenA") {
		t.Error(got)
	}
}

func FuzzRedact(f *testing.F) {
	f.Add(precious, "tokenB2x")
	f.Add("", `a"b`)
	f.Fuzz(func(t *testing.T, before, token string) {
		if len(token) < 8 || strings.ContainsAny(token, "\"\\'\n\r=#[]{}<>") || strings.Contains(before, token) || strings.ContainsAny(before, "\"'") {
			return
		}
		line := "\npool-token = \"" + token + "\"\n"
		if got := Redact("x", []byte(before+line)); strings.Contains(got, token) {
			t.Errorf("%q is still in %q", token, got)
		}
	})
}
