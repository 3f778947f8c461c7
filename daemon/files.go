package daemon

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/state"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// material is what the files of one [[nts-ke-server]] hold.
type material struct {
	pair  *ke.KeyPair
	pools []*x509.Certificate
}

// files is what the files that the configuration names hold.
type files struct {
	roots    map[string]*x509.CertPool // by certificate-authority
	trust    map[string]string         // names for these, as far as they come from a file
	keServer []material                // as config.NTSKEServers
	warnings []config.Warning
}

// keyAuthority is the key of a source's authorities.
const keyAuthority = "source.certificate-authority"

// CheckFiles reads every file that the configuration names and reports each
// that cannot be used, with its place in the configuration, and what will
// displease clients. Files that the daemon would write are looked at, and
// neither made nor changed.
func CheckFiles(c *config.Config, now time.Time) ([]config.Warning, config.Problems) {
	f, problems := readFiles(c, now)
	warnings, more := checkPlaces(c)
	return append(f.warnings, warnings...), append(problems, more...)
}

func readFiles(c *config.Config, now time.Time) (*files, config.Problems) {
	f := &files{roots: map[string]*x509.CertPool{}, trust: map[string]string{}}
	var problems config.Problems
	refuse := func(pos config.Pos, key string, err error) {
		problems = append(problems, config.Problem{Pos: pos, Key: key, Text: err.Error()})
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		if _, known := f.roots[s.CertificateAuthority]; known {
			continue
		}
		roots, err := ke.LoadRoots(s.CertificateAuthority)
		if err != nil {
			refuse(s.At("certificate-authority"), keyAuthority, err)
			continue
		}
		name, err := trustIn(s.CertificateAuthority)
		if err != nil {
			refuse(s.At("certificate-authority"), keyAuthority, err)
			continue
		}
		f.roots[s.CertificateAuthority], f.trust[s.CertificateAuthority] = roots, name
		for _, w := range ke.RootWarnings(s.CertificateAuthority) {
			f.warnings = append(f.warnings, config.Warning{Pos: s.At("certificate-authority"), Key: keyAuthority, Text: w})
		}
	}
	for i := range c.NTSKEServers {
		s := &c.NTSKEServers[i]
		pair, err := ke.LoadKeyPair(s.CertificateChainPath, s.PrivateKeyPath, now)
		if bad, ok := errors.AsType[*ke.KeyPairError](err); ok {
			if bad.Chain != nil {
				refuse(s.At("certificate-chain-path"), "nts-ke-server", bad.Chain)
			}
			if bad.Key != nil {
				refuse(s.At("private-key-path"), "nts-ke-server", bad.Key)
			}
			continue
		}
		for _, w := range pair.Warnings {
			f.warnings = append(f.warnings, config.Warning{Pos: s.At("certificate-chain-path"), Key: "nts-ke-server.certificate-chain-path", Text: w})
		}
		m := material{pair: pair}
		for _, path := range s.AuthorizedPoolServerCertificates {
			cert, err := ke.LoadPoolCertificate(path)
			if err != nil {
				refuse(s.At("authorized-pool-server-certificates"), "nts-ke-server.authorized-pool-server-certificates", err)
				continue
			}
			m.pools = append(m.pools, cert)
		}
		f.keServer = append(f.keServer, m)
	}
	return f, problems
}

// maxAuthorities bounds a file of authorities, in octets.
const maxAuthorities = 16 << 20

// trustIn names the authorities of a file: another name means others.
func trustIn(path string) (string, error) {
	if path == "" {
		return "system", nil
	}
	data, err := state.ReadFile(path, maxAuthorities)
	if err != nil {
		return "", fmt.Errorf("certificate authority: %w", err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data)), nil
}

// rootsFor returns the authorities for a source.
func (f *files) rootsFor(authority string) (*x509.CertPool, error) {
	if roots, ok := f.roots[authority]; ok {
		return roots, nil
	}
	return nil, fmt.Errorf("certificate authority %s was not read", authority)
}

// fileCode is the exit code for files that cannot be used: a source's belong
// to the configuration, a server's are resources of the machine, as ntpd-rs
// has it.
func fileCode(problems config.Problems) int {
	for _, p := range problems {
		if p.Key == keyAuthority {
			return cli.Config
		}
	}
	return cli.Software
}
