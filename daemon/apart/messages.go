package apart

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/privilege"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Settings are what the process knows of one key-exchange server besides its
// certificate. They stay as they are until a restart.
type Settings struct {
	Timeout     time.Duration
	Connections int
	Kept        int // negative: a tenth of Connections
	NTPServer   string
	NTPPort     uint16
	Authorise   *ke.Authoriser
	Verbose     bool // every outcome is worth a line
}

// appendSettings appends the body of a settings frame. Of tokens and
// certificates there are digests only.
func appendSettings(dst []byte, section int, s *Settings) []byte {
	be := binary.BigEndian
	dst = be.AppendUint16(dst, uint16(section))
	dst = be.AppendUint64(dst, uint64(s.Timeout))
	dst = be.AppendUint32(dst, uint32(s.Connections))
	dst = be.AppendUint32(dst, uint32(int32(s.Kept)))
	dst = be.AppendUint16(dst, s.NTPPort)
	verbose := byte(0)
	if s.Verbose {
		verbose = 1
	}
	dst = append(dst, verbose)
	dst = appendBytes(dst, []byte(s.NTPServer))
	tokens, leaves := s.Authorise.Digests()
	for _, digests := range [][][sha256.Size]byte{tokens, leaves} {
		dst = be.AppendUint32(dst, uint32(len(digests)))
		for i := range digests {
			dst = append(dst, digests[i][:]...)
		}
	}
	return dst
}

func parseSettings(b []byte) (section int, s Settings, err error) {
	p := body{rest: b}
	section = int(p.uint16())
	s = Settings{
		Timeout: time.Duration(p.uint64()), Connections: int(p.uint32()), Kept: int(int32(p.uint32())),
		NTPPort: p.uint16(), Verbose: p.uint8() == 1, NTPServer: string(p.bytes()),
	}
	var digests [2][][sha256.Size]byte
	for i := range digests {
		n := p.uint32()
		if uint64(n)*sha256.Size > uint64(len(p.rest)) {
			return 0, s, errFrame
		}
		for range n {
			digests[i] = append(digests[i], [sha256.Size]byte(p.take(sha256.Size)))
		}
	}
	s.Authorise = ke.AuthoriserOf(digests[0], digests[1])
	if s.Timeout <= 0 || s.Connections <= 0 || s.Connections > math.MaxInt32 {
		return 0, s, errFrame
	}
	return section, s, p.end()
}

// appendCertificate appends the body of a certificate frame, which holds the
// private key.
func appendCertificate(dst []byte, section int, c *tls.Certificate) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return dst, err
	}
	defer clear(key)
	dst = binary.BigEndian.AppendUint16(dst, uint16(section))
	dst = appendBytes(dst, key)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(c.Certificate)))
	for _, der := range c.Certificate {
		dst = appendBytes(dst, der)
	}
	return dst, nil
}

func parseCertificate(b []byte) (section int, c tls.Certificate, err error) {
	p := body{rest: b}
	section = int(p.uint16())
	key := p.bytes()
	for n := p.uint16(); n > 0 && !p.bad; n-- {
		c.Certificate = append(c.Certificate, bytes.Clone(p.bytes()))
	}
	if p.end() != nil || len(c.Certificate) == 0 {
		return 0, c, errFrame
	}
	parsed, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return 0, c, fmt.Errorf("private key: %w", err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return 0, c, errFrame
	}
	c.PrivateKey = signer
	if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
		return 0, c, fmt.Errorf("certificate: %w", err)
	}
	return section, c, nil
}

// appendConfined appends the body of a confined frame: what the process has
// given up, or why it has not.
func appendConfined(dst []byte, got privilege.Result, err error) []byte {
	filtered := byte(0)
	if got.Filtered {
		filtered = 1
	}
	dst = append(dst, byte(got.Landlock), filtered)
	dst = appendBytes(dst, []byte(strings.Join(got.Capabilities, " ")))
	if err != nil {
		text := err.Error()
		dst = append(dst, text[:min(len(text), longestDetail)]...)
	}
	return dst
}

func parseConfined(b []byte) (landlock int, filtered bool, capabilities, failure string, err error) {
	p := body{rest: b}
	landlock, filtered, capabilities = int(p.uint8()), p.uint8() == 1, string(p.bytes())
	failure, p.rest = string(p.rest), nil
	strange := func(r rune) bool { return (r < 'A' || r > 'Z') && r != '_' && r != ' ' }
	if len(failure) > longestDetail || strings.ContainsFunc(capabilities, strange) {
		return 0, false, "", "", errFrame
	}
	return landlock, filtered, capabilities, failure, p.end()
}

// longestDetail is how much of an outcome's cause a frame tells, in octets.
const longestDetail = 600

func appendEvent(dst []byte, section int, o ke.Outcome) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(section))
	dst = append(dst, byte(o.Kind))
	from := o.Remote.Addr().As16() // zeros for none
	if !o.Remote.IsValid() {
		from = [16]byte{}
	}
	dst = append(dst, from[:]...)
	dst = binary.BigEndian.AppendUint16(dst, o.Remote.Port())
	return append(dst, o.Detail[:min(len(o.Detail), longestDetail)]...)
}

// parseEvent takes apart what a process says that may be anybody's by now.
func parseEvent(b []byte, sections int) (section int, o ke.Outcome, err error) {
	p := body{rest: b}
	section = int(p.uint16())
	o.Kind = ke.Kind(p.uint8())
	from := netip.AddrFrom16([16]byte(p.take(16))).Unmap()
	port := p.uint16()
	if p.bad || section >= sections || int(o.Kind) >= ke.Kinds || len(p.rest) > longestDetail {
		return 0, o, errFrame
	}
	if !from.IsUnspecified() {
		o.Remote = netip.AddrPortFrom(from, port)
	}
	o.Detail = string(p.rest)
	return section, o, nil
}

func appendNumber(dst []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(dst, n) }

func parseNumber(b []byte) (uint64, error) {
	p := body{rest: b}
	n := p.uint64()
	return n, p.end()
}
