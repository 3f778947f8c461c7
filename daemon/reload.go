package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/apart"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// A Loader reads the configuration anew, with sources behind it that were
// added at run time: [[source]] tables as they would stand in the file.
type Loader func(added string) (*config.Config, error)

// keyHost is what the key-exchange server of one [[nts-ke-server]] section
// presents; another certificate can take its place at any time.
type keyHost struct {
	tls      atomic.Pointer[tls.Config]
	notAfter atomic.Pointer[time.Time]
	counts   *apart.Counts
	// elsewhere hands certificates to the process that serves; nil if this one
	// does.
	elsewhere func(tls.Certificate) error
}

// present takes a certificate into use for new connections.
func (h *keyHost) present(pair *ke.KeyPair) error {
	end := pair.TLS.Leaf.NotAfter
	h.notAfter.Store(&end)
	if h.elsewhere != nil {
		return h.elsewhere(pair.TLS)
	}
	h.tls.Store(&tls.Config{Certificates: []tls.Certificate{pair.TLS}})
	return nil
}

// outcomes is how the key exchanges came out, by name.
func (h *keyHost) outcomes() map[string]uint64 {
	all := make(map[string]uint64, len(h.counts))
	for i := range h.counts {
		all[ke.Kind(i).String()] = h.counts[i].Load()
	}
	return all
}

var errNoFile = errors.New("this daemon runs without a configuration file; start it with -c")

// fresh is a configuration that could be run, with what its files hold.
type fresh struct {
	cfg   *config.Config
	files *files
}

// reread loads the configuration and all files that it names. Nothing of it is
// in use yet.
func (d *daemon) reread(added string, gone func(*config.Source) bool) (*fresh, error) {
	if d.Load == nil {
		return nil, errNoFile
	}
	cfg, err := d.Load(added)
	if err != nil {
		return nil, d.outOfReach(err)
	}
	cfg.Without(gone)
	files, problems := readFiles(cfg, time.Now())
	if err := problems.Err(); err != nil {
		return nil, d.outOfReach(err)
	}
	return &fresh{cfg, files}, nil
}

// outOfReach says what to do about a file that the daemon may not read any
// more since it gave up what it did not need.
func (d *daemon) outOfReach(err error) error {
	if d.Confine == nil || !strings.Contains(err.Error(), fs.ErrPermission.Error()) {
		return err
	}
	return fmt.Errorf("%w; the daemon has given up other directories and privileges since its start, so this needs a restart", err)
}

// needRestart lists what differs between two configurations and is only read
// at the start.
func needRestart(before, after *config.Config) []string {
	var all []string
	note := func(differs bool, what string) {
		if differs {
			all = append(all, what+" changed, which takes a restart")
		}
	}
	bs, as, bo, ao := &before.Synchronization, &after.Synchronization, &before.Observability, &after.Observability
	note(!reflect.DeepEqual(served(before), served(after)), "[[server]]")
	note(!reflect.DeepEqual(exchanged(before), exchanged(after)), "[[nts-ke-server]], but for its certificate and key,")
	note(bs.UpdateSystemClock != as.UpdateSystemClock, "update-system-clock")
	note(bs.StatePath != as.StatePath, "state-path")
	note(bs.NTSStatePath != as.NTSStatePath, "nts-state-path")
	note(bs.UpdateSystemClock && len(before.Sources) == 0 && len(after.Sources) > 0, "that there are sources")
	note(before.Keyset.KeyStoragePath != after.Keyset.KeyStoragePath, "key-storage-path")
	note(bo.LogLevel != ao.LogLevel || bo.LogPath != ao.LogPath, "log-level or log-path")
	note(bo.ObservationPath != ao.ObservationPath || bo.ObservationPermissions != ao.ObservationPermissions, "the observation socket")
	note(bo.ControlPath != ao.ControlPath, "control-path")
	note(bo.ClientList != ao.ClientList, "client-list")
	note(before.Clock.Path != after.Clock.Path || before.Clock.Interface != after.Clock.Interface || before.Clock.TimestampMode != after.Clock.TimestampMode, "[clock]")
	return all
}

// served is what the NTP servers are made of, wherever it stands in the file.
func served(c *config.Config) []config.Server {
	all := slices.Clone(c.Servers)
	for i := range all {
		all[i].Table, all[i].Allowlist.Table, all[i].Denylist.Table = config.Table{}, config.Table{}, config.Table{}
	}
	return all
}

// exchange is what of a key-exchange server a reload leaves alone.
type exchange struct {
	listen, server        string
	port                  uint16
	timeout               time.Duration
	concurrent, longlived int
	versions              []uint8
	tokens                []config.Secret
	certificates          []string
}

func exchanged(c *config.Config) []exchange {
	var all []exchange
	for i := range c.NTSKEServers {
		s := &c.NTSKEServers[i]
		all = append(all, exchange{
			s.Listen.String(), s.NTPServer, s.NTPPort, s.KeyExchangeTimeout, s.ConcurrentConnections, s.LonglivedConnections,
			s.AcceptNTPVersions, s.AcceptedPoolAuthenticationTokens, s.AuthorizedPoolServerCertificates,
		})
	}
	return all
}

// take brings new files into use: certificate authorities for the next key
// exchange that we ask for, certificates for the next one that we answer.
// Connections that are open go on as they are.
func (d *daemon) take(f *fresh) {
	for i := range f.cfg.NTSKEServers {
		for j := range d.Config.NTSKEServers {
			if d.Config.NTSKEServers[j].Listen == f.cfg.NTSKEServers[i].Listen {
				if err := d.ke.hosts[j].present(f.files.keServer[i].pair); err != nil {
					d.Log.Warn("a new certificate is not in use yet", "code", "certificate-not-used", "listen", d.Config.NTSKEServers[j].Listen.String(), "error", err)
				}
			}
		}
	}
	d.files.Store(f.files)
}
