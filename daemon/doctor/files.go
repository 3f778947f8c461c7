package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// files looks into every file that the configuration names, as the user that
// the daemon runs as.
func (e *exam) files() {
	who := e.identity()
	for _, p := range e.cfg.Paths() {
		path := absolute(p.Name)
		switch p.Use {
		case config.UseRoots:
			e.readable(who, p, path)
			if _, err := ke.LoadRoots(path); err != nil && who.self {
				e.fail("certificate", p.Pos.String(), err.Error(), "certificates of authorities in PEM", "name the right file in "+p.Key)
			}
		case config.UseChain, config.UseCertificate:
			e.readable(who, p, path)
		case config.UseKey:
			e.readable(who, p, path)
			e.secret(path, "the private key")
		case config.UseKeys:
			e.writable(who, p, path)
			e.secret(path, "the cookie keys")
		case config.UseLog, config.UseSocket:
			e.writable(who, p, path)
		}
	}
	if s := &e.cfg.Synchronization; e.steersSystem() && s.StatePath != "" && len(e.cfg.Sources) > 0 {
		e.writable(who, config.Path{Pos: s.At("state-path"), Key: "synchronization.state-path"}, absolute(s.StatePath))
	}
	if s := &e.cfg.Synchronization; slices.ContainsFunc(e.cfg.Sources, func(s config.Source) bool { return s.Mode.Keyed() }) {
		if path := s.NTSState(e.steersSystem()); path != "" {
			e.writable(who, config.Path{Pos: s.At("nts-state-path"), Key: "synchronization.nts-state-path"}, absolute(path))
			e.secret(absolute(path), "the keys and cookies of NTS sources")
		}
	}
	for i := range e.cfg.NTSKEServers {
		e.keyPair(&e.cfg.NTSKEServers[i])
	}
	if first, bad := e.report.First(); !bad || first.Check != "files" && first.Check != "permissions" && first.Check != "certificate" {
		e.ok("files", "", fmt.Sprintf("%d files that the configuration names can be used by %s", len(e.cfg.Paths()), who.name))
	}
}

func (e *exam) readable(who identity, p config.Path, path string) {
	if why := who.cannot(path, mayRead); why != "" {
		e.fail("files", path, fmt.Sprintf("%s (%s, %v)", why, p.Key, p.Pos), "readable for "+who.name, "correct the path, or give "+who.name+" access to the file and every directory above it")
	}
}

// writable looks at the file if it exists, and at the directory in which it,
// or its first missing directory, would be made.
func (e *exam) writable(who identity, p config.Path, path string) {
	info, err := os.Stat(path)
	why := ""
	switch {
	case err == nil && info.IsDir():
		why = "is a directory"
	case err == nil && info.Mode()&fs.ModeSocket == 0:
		why = who.cannot(path, mayWrite)
	}
	if why == "" {
		dir := filepath.Dir(path)
		for {
			if _, err := os.Stat(dir); err == nil || dir == "/" || dir == filepath.Dir(dir) {
				break
			}
			dir = filepath.Dir(dir)
		}
		if why = who.cannot(dir, mayWrite|mayEnter); why == "" {
			why = noRoom(dir)
		}
		if why != "" {
			why = dir + " " + why
		}
	}
	if why != "" {
		e.fail("files", path, fmt.Sprintf("cannot be written: %s (%s, %v)", why, p.Key, p.Pos), "writable for "+who.name,
			writableFix(why, who, p))
	}
}

func writableFix(why string, who identity, p config.Path) string {
	switch {
	case strings.Contains(why, full):
		return "free some space there, or choose another path for " + p.Key
	case strings.Contains(why, readOnly):
		return "mount it for writing, or choose another path for " + p.Key
	default:
		return "make the directory and give it to " + who.name + ", or choose another path for " + p.Key
	}
}

// secret looks whether others can read what they must not.
func (e *exam) secret(path, what string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if mode := info.Mode().Perm(); mode&0o006 != 0 {
		e.warn("permissions", path, fmt.Sprintf("mode %04o: any user of this machine can read %s", mode, what), "no access for others", "chmod o-rwx "+path)
	}
}

// keyPair looks at the certificate of a key-exchange server.
func (e *exam) keyPair(s *config.NTSKEServer) {
	path := absolute(s.CertificateChainPath)
	pair, err := ke.LoadKeyPair(s.CertificateChainPath, s.PrivateKeyPath, e.now)
	if err != nil {
		if !alreadySaid(e.report, path, absolute(s.PrivateKeyPath)) {
			e.fail("certificate", s.At("certificate-chain-path").String(), err.Error(), "a certificate and its own key", "the key exchange does not start without them")
		}
		return
	}
	leaf := pair.TLS.Leaf
	left := leaf.NotAfter.Sub(e.now)
	days := int(left.Hours() / 24)
	valid := fmt.Sprintf("valid from %s to %s", leaf.NotBefore.UTC().Format(time.DateOnly), leaf.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case left <= 0:
		e.fail("certificate", path, fmt.Sprintf("expired %d days ago, on %s", -days, leaf.NotAfter.UTC().Format(time.DateOnly)),
			fmt.Sprintf("valid for %d days more", e.CertificateDays), "renew the certificate and reload the daemon: no client accepts it")
		return
	case e.now.Before(leaf.NotBefore):
		e.fail("certificate", path, "not valid yet: "+valid, "valid now", "check this machine's clock, and for whom the certificate was made")
		return
	case days < e.CertificateDays:
		e.warn("certificate", path, fmt.Sprintf("expires in %d days, on %s", days, leaf.NotAfter.UTC().Format(time.DateOnly)),
			fmt.Sprintf("valid for %d days more", e.CertificateDays), "renew the certificate, and see why that does not happen by itself")
	}
	for _, w := range pair.Warnings {
		e.fail("certificate", path, strings.TrimPrefix(w, "certificate "+path+": "), "a certificate that clients accept", "make the certificate anew")
	}
	if len(pair.TLS.Certificate) > 1 {
		e.chain(path, &pair.TLS)
	}
	if len(pair.Warnings) == 0 && days >= e.CertificateDays {
		e.ok("certificate", path, fmt.Sprintf("belongs to its key, %d days left", days))
	}
}

func alreadySaid(r *Report, subjects ...string) bool {
	for _, l := range r.Lines {
		for _, s := range subjects {
			if l.Status == Fail && l.Subject == s {
				return true
			}
		}
	}
	return false
}
