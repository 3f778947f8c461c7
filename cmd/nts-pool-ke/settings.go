package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/nts/pool"
)

// settings are one reading of the configuration and of all files that it
// names. They do not change.
type settings struct {
	cfg      *config.PoolConfig
	sources  []pool.Source
	tls      *tls.Config
	pair     *ke.KeyPair
	roots    *x509.CertPool
	notAfter time.Time // of the certificate
	geo      *pool.Geo // or nil
	secret   []byte    // for the tokens of discovered sources, or nil
	read     time.Time
	files    []string // that all of this came from
	print    string   // what they looked like before they were read
	warnings []string
}

// read reads everything and reports all that is wrong at once, each with its
// place. The server's own certificate and key are resources of the machine, as
// ntpd-rs has it; the rest belongs to the configuration, and each has its exit
// code.
func read(path string) (*settings, error) {
	s := &settings{read: time.Now()}
	if err := s.readConfig(path); err != nil {
		return nil, cli.Exit(cli.Config, err)
	}
	wrong := errors.Join(s.readSources(), s.readGeolocation(), s.readSecret(), s.readRoots())
	own := s.readKeyPair()
	switch {
	case wrong != nil:
		return nil, cli.Exit(cli.Config, errors.Join(wrong, own))
	case own != nil:
		return nil, cli.Exit(cli.Software, own)
	}
	if s.print = fingerprint(s.files); writtenSince(s.files, s.read) {
		s.print = "" // something was written while it was read
	}
	return s, nil
}

func (s *settings) readConfig(path string) error {
	s.files = append(s.files, path)
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("there was an error loading the config: %w", cli.Unreadable(err, cli.NameAnother))
	}
	cfg, problems := config.ParsePool(path, content)
	if err := problems.Err(); err != nil {
		return fmt.Errorf("there was an error loading the config: %w", err)
	}
	s.cfg = cfg
	s.warn(cfg.Warnings)
	s.warnOfMode(path)
	return nil
}

// warnOfMode warns of a file of the configuration that anybody can change.
func (s *settings) warnOfMode(path string) {
	if info, err := os.Stat(path); err == nil {
		if w, open := config.ModeWarning(path, uint32(info.Mode().Perm())); open {
			s.warn([]config.Warning{w})
		}
	}
}

func (s *settings) warn(warnings []config.Warning) {
	for _, w := range warnings {
		s.warnings = append(s.warnings, w.String())
	}
}

// readSources collects the time sources of the configuration and of its
// directory, in the order of the files' names.
func (s *settings) readSources() error {
	servers := s.cfg.KeyExchangeServers
	var wrong []error
	if dir := s.cfg.ServersDirectory; dir != "" {
		names, err := filepath.Glob(filepath.Join(dir, "*.toml"))
		if err != nil {
			return fmt.Errorf("%v: %w", s.cfg.At("key-exchange-servers-directory"), err)
		}
		if _, err := os.ReadDir(dir); err != nil {
			wrong = append(wrong, fmt.Errorf("%v: the directory of servers cannot be read: %w", s.cfg.At("key-exchange-servers-directory"), cli.Unreadable(err, "make the directory, or correct the path")))
		}
		s.files = append(append(s.files, dir), names...)
		for _, name := range names {
			more, err := s.readServers(name)
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			servers = append(servers[:len(servers):len(servers)], more...)
		}
		if len(wrong) == 0 && len(servers) == 0 && len(s.cfg.DiscoveryDomains) == 0 {
			return fmt.Errorf("%v: there is no server in the files *.toml of %s; list at least one", s.cfg.At("key-exchange-servers-directory"), dir)
		}
	}
	first := make(map[string]config.Pos)
	for _, server := range servers {
		source := pool.Source{
			Domain: server.Domain, Port: server.Port, Weight: server.Weight,
			Owner: server.Owner, Location: server.Location, Country: server.Country,
		}
		if server.TokenFile != "" {
			s.files = append(s.files, server.TokenFile)
		}
		if source.Country != "" && pool.PlaceOf(source.Country).Continent == "" {
			s.warnings = append(s.warnings, fmt.Sprintf("%v: there is no country %s; no client is near it", server.At("country"), source.Country))
		}
		if other, doubled := first[source.String()]; doubled && other.File != server.Pos.File {
			s.warnings = append(s.warnings, fmt.Sprintf("%v: %v is listed already at %v", server.Pos, source, other))
		}
		if _, doubled := first[source.String()]; !doubled {
			first[source.String()] = server.Pos
		}
		var err error
		if source.Token, err = token(server); err != nil {
			wrong = append(wrong, err)
		}
		s.sources = append(s.sources, source)
	}
	return errors.Join(wrong...)
}

func (s *settings) readServers(name string) ([]config.PoolServer, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("there was an error loading the servers: %w", cli.Unreadable(err, "correct it or take it away"))
	}
	servers, warnings, problems := config.ParsePoolServers(name, content)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("there was an error loading the servers: %w", err)
	}
	s.warn(warnings)
	s.warnOfMode(name)
	return servers, nil
}

// longestToken bounds a token in octets. It must fit requests that sources
// read, of 4096 octets in all.
const longestToken = 1024

// token gives the token of a source, or nil: out of the configuration or of
// the first line of a file.
func token(s config.PoolServer) (nts.Secret, error) {
	text := s.Token.Reveal()
	if s.TokenFile != "" {
		var err error
		if text, err = firstLine(s.TokenFile); err != nil {
			return nil, fmt.Errorf("%v: the token cannot be read: %w", s.At("token-file"), cli.Unreadable(err, "put the token there, or correct the path"))
		}
		if text == "" {
			return nil, fmt.Errorf("%v: the first line of %s is empty; put the token there", s.At("token-file"), s.TokenFile)
		}
	}
	if len(text) > longestToken {
		return nil, fmt.Errorf("%v: the token of %v is longer than %d octets", s.Pos, s, longestToken)
	}
	if text == "" {
		return nil, nil
	}
	return nts.Secret(text), nil
}

// firstLine reads the first line of a file, without blanks around it.
func firstLine(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, longestToken+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// shortestSecret bounds the secret for tokens, in octets: 128 bits in
// hexadecimal digits.
const shortestSecret = 32

func (s *settings) readSecret() error {
	name := s.cfg.DiscoverySecretFile
	if name == "" {
		return nil
	}
	s.files = append(s.files, name)
	text, err := firstLine(name)
	if err != nil {
		return fmt.Errorf("%v: the secret cannot be read: %w", s.cfg.At("discovery-secret-file"), cli.Unreadable(err, "make one with openssl rand -hex 32"))
	}
	if len(text) < shortestSecret {
		return fmt.Errorf("%v: the first line of %s is too short for a secret; make one with openssl rand -hex 32", s.cfg.At("discovery-secret-file"), name)
	}
	s.secret = []byte(text)
	return nil
}

func (s *settings) readGeolocation() error {
	name := s.cfg.GeolocationPath
	if name == "" {
		return nil
	}
	s.files = append(s.files, name)
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("%v: the database of places cannot be read: %w", s.cfg.At("geolocation-path"), cli.Unreadable(err, "put the database there, or correct the path"))
	}
	if s.geo, err = pool.OpenGeo(data); err != nil {
		return fmt.Errorf("%v: %s: %w", s.cfg.At("geolocation-path"), name, err)
	}
	return nil
}

// rules are how the pool selects.
func (s *settings) rules() pool.Rules {
	r := pool.Rules{OwnerPercent: s.cfg.OwnerPercent, Shards: s.cfg.Shards}
	if s.geo != nil {
		r.Locate = s.geo.Locate
	}
	return r
}

// readRoots reads the authorities that vouch for the time sources.
func (s *settings) readRoots() error {
	const key = "certificate-authority-path"
	name := s.cfg.CertificateAuthorityPath
	s.files = append(s.files, name)
	roots, err := ke.LoadRoots(name)
	if err != nil {
		return s.problem(key, err.Error())
	}
	s.roots = roots
	for _, w := range ke.RootWarnings(name) {
		s.warnings = append(s.warnings, fmt.Sprintf("%v: %s", s.cfg.At(key), w))
	}
	return nil
}

// problem is what is wrong with a file that a key of the pool's section names.
func (s *settings) problem(key, text string) error {
	return config.Problem{Pos: s.cfg.At(key), Key: "nts-pool-ke-server." + key, Text: text}
}

// readKeyPair reads the pool's own certificate and key.
func (s *settings) readKeyPair() error {
	s.files = append(s.files, s.cfg.CertificateChainPath, s.cfg.PrivateKeyPath)
	pair, err := ke.LoadKeyPair(s.cfg.CertificateChainPath, s.cfg.PrivateKeyPath, time.Now())
	if bad, ok := errors.AsType[*ke.KeyPairError](err); ok {
		var wrong []error
		if bad.Chain != nil {
			wrong = append(wrong, s.problem("certificate-chain-path", bad.Chain.Error()))
		}
		if bad.Key != nil {
			wrong = append(wrong, s.problem("private-key-path", bad.Key.Error()))
		}
		return errors.Join(wrong...)
	}
	if err != nil {
		return err
	}
	s.pair = pair
	if leaf, err := x509.ParseCertificate(pair.TLS.Certificate[0]); err == nil {
		s.notAfter = leaf.NotAfter
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{pair.TLS}}
	s.warnings = append(s.warnings, pair.Warnings...)
	return nil
}
