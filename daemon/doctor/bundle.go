package doctor

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// Bundle writes what a bug report needs as a compressed archive: the report,
// the configuration without its secrets, what the daemon says, and what
// system this is. No key and no cookie is read for it.
func Bundle(w io.Writer, o Options, r *Report, version string) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	b := &bundle{tar: t, now: time.Now()}
	var text strings.Builder
	b.keep(r.Write(&text))
	b.add("report.txt", text.String())
	b.json("report.json", r)
	b.add("version.txt", fmt.Sprintf("%s\n%s/%s, %s, %d processors\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.NumCPU()))
	data, err := os.ReadFile(o.Config)
	if err == nil {
		b.add("ntp.toml", Redact(o.Config, data))
	} else {
		b.add("ntp.toml.missing", err.Error()+"\n")
	}
	path := config.DefaultObservationPath
	if cfg, problems := config.Parse(o.Config, data); len(problems) == 0 {
		path = cfg.Observability.ObservationPath
	}
	if s, err := observe.Read(path, 3*time.Second); err == nil {
		b.json("status.json", observe.NewReport(&s, b.now))
	} else {
		b.add("status.missing", err.Error()+"\n")
	}
	for _, name := range []string{"/etc/os-release", "/proc/version", "/etc/resolv.conf", "/proc/uptime", "/proc/loadavg"} {
		if text, err := os.ReadFile(name); err == nil {
			b.add("system"+name, string(text))
		}
	}
	return errors.Join(b.err, t.Close(), z.Close())
}

// bundle is an archive that is being written; the first error stays.
type bundle struct {
	tar *tar.Writer
	now time.Time
	err error
}

func (b *bundle) keep(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *bundle) add(name, text string) {
	if b.err != nil {
		return
	}
	b.keep(b.tar.WriteHeader(&tar.Header{Name: "ntp-doctor/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: b.now, Format: tar.FormatPAX}))
	if b.err == nil {
		_, err := io.WriteString(b.tar, text)
		b.keep(err)
	}
}

func (b *bundle) json(name string, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	b.keep(err)
	b.add(name, string(text)+"\n")
}

// hidden stands for what must not leave the machine.
const hidden = "<secret>"

var (
	secretKey  = regexp.MustCompile(`(?i)(token|secret|password|passphrase|psk|credential)`)
	assignment = regexp.MustCompile(`^\s*("[^"]*"|'[^']*'|[\w.-]+)\s*=`)
	anyString  = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'`)
	userInfo   = regexp.MustCompile(`://[^/\s"'@]+@`)
)

// Redact takes the secrets out of a configuration: all that it knows to be
// secret, every string of a key that sounds like one, keys in PEM, and
// passwords in addresses. It needs no configuration without errors.
func Redact(name string, data []byte) string {
	text := privatePEM.ReplaceAllString(hideTokens(name, data), hidden)
	return userInfo.ReplaceAllString(hideLines(text), "://"+hidden+"@")
}

var privatePEM = regexp.MustCompile(`(?s)-----BEGIN [^-]*PRIVATE[^-]*-----.*?-----END [^-]*-----`)

// hideTokens replaces all tokens in one pass: what stands for one of them is not looked at for the others, whose
// letters it may hold. The longest go first, because one may begin another.
func hideTokens(name string, data []byte) string {
	cfg, _ := config.Parse(name, data)
	var tokens []string
	for i := range cfg.NTSKEServers {
		for _, s := range cfg.NTSKEServers[i].AcceptedPoolAuthenticationTokens {
			if s.Reveal() != "" {
				tokens = append(tokens, s.Reveal())
			}
		}
	}
	slices.SortFunc(tokens, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, token := range tokens {
		pairs = append(pairs, token, hidden)
	}
	return strings.NewReplacer(pairs...).Replace(string(data))
}

// hideLines hides the strings of keys that sound secret, also where the value
// goes on over several lines.
func hideLines(text string) string {
	var out strings.Builder
	depth, secret, block := 0, false, ""
	for line := range strings.Lines(text) {
		if block != "" { // within a string of several lines
			if strings.Contains(line, block) {
				block = ""
			}
			if secret {
				line = hidden + "\n"
			}
			out.WriteString(line)
			continue
		}
		if depth <= 0 {
			depth = 0
			key := assignment.FindString(line)
			secret = secretKey.MatchString(key)
		}
		// An inline table may hold a secret key of its own.
		hide := secret || secretKey.MatchString(anyString.ReplaceAllString(line, ""))
		bare := anyString.ReplaceAllString(line, "")
		depth += strings.Count(bare, "[") + strings.Count(bare, "{") - strings.Count(bare, "]") - strings.Count(bare, "}")
		for _, quotes := range []string{`"""`, `'''`} {
			if strings.Count(line, quotes)%2 == 1 {
				block, secret = quotes, hide
			}
		}
		if hide {
			line = hideValues(line)
		}
		out.WriteString(line)
	}
	return out.String()
}

// hideValues hides what stands behind the first equals sign, or the whole
// line where there is none.
func hideValues(line string) string {
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		key, value = "", line
	} else {
		key += "="
	}
	value = anyString.ReplaceAllString(value, `"`+hidden+`"`)
	if strings.Count(value, `"`)%2 == 1 || strings.Count(value, `'`)%2 == 1 { // a string without its end
		value = " " + hidden + "\n"
	}
	return key + value
}
