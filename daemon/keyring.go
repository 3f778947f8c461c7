package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/state"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// keyring holds the server's cookie keys: it loads them at the start, renews
// them on schedule and stores every renewal. Readers take the current set
// without a lock.
type keyring struct {
	current atomic.Pointer[cookie.Keyset]
	changed chan struct{} // the next renewal is to be reckoned anew
	renewed func()        // told of another sealing key; set before the ring is used, nil for nobody

	mu      sync.Mutex // of everything below
	file    string     // absolute; empty keeps the keys in memory only
	stale   int
	every   time.Duration
	due     time.Duration // until the first renewal
	unsaved bool          // the file does not hold the current keys: the last write failed
	entropy io.Reader
	now     func() time.Time
	log     *slog.Logger
}

// storeRetry is how long a write that failed is left alone.
const storeRetry = 5 * time.Minute

// keyringConfig is the [keyset] section with what it needs of the world.
type keyringConfig struct {
	path    string
	stale   int
	every   time.Duration
	entropy io.Reader
	now     func() time.Time // wall time, for the age of stored keys
	log     *slog.Logger
}

// openKeyring loads the stored keys, or makes new ones where there are none.
// A file that does not hold cookie keys is never written to: the keys then
// live in memory, and a warning says so.
func openKeyring(cfg keyringConfig) (*keyring, error) {
	k := &keyring{changed: make(chan struct{}, 1), stale: cfg.stale, every: cfg.every, due: cfg.every, entropy: cfg.entropy, now: cfg.now, log: cfg.log}
	if cfg.path != "" {
		abs, err := filepath.Abs(cfg.path)
		if err != nil {
			return nil, fmt.Errorf("key-storage-path %s: %w", cfg.path, err)
		}
		k.file = abs
	}
	loaded, err := k.load()
	if err != nil {
		return nil, err
	}
	if k.file != "" {
		state.Sweep(k.file) // keys must not lie about
	}
	if loaded {
		return k, nil
	}
	fresh, err := cookie.NewKeyset(k.entropy)
	if err != nil {
		return nil, fmt.Errorf("cookie keys: %w", err)
	}
	k.current.Store(fresh)
	k.store()
	return k, nil
}

// maxKeyFile bounds what is read as a key file, in octets.
const maxKeyFile = 1 << 20

// load reads the key file. It reports whether there are keys in use now, and
// forgets the file when it is not to be written to.
func (k *keyring) load() (bool, error) {
	if k.file == "" {
		return false, nil
	}
	data, err := state.ReadFile(k.file, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		k.log.Warn("Could not load nts server keys, starting with new set", "code", "keys-new", "file", k.file, "error", "no such file yet; it is made now")
		return false, nil
	}
	var set *cookie.Keyset
	var saved int64
	if err == nil {
		set, saved, err = cookie.Parse(data)
	}
	if err != nil {
		k.log.Warn("Could not load nts server keys, starting with new set kept in memory only; the file is left as it is: move it away, or set another key-storage-path", "code", "keys-not-kept",
			"file", k.file, "error", err)
		k.file = ""
		return false, nil
	}
	k.shut()
	k.current.Store(set)
	age := k.now().Sub(time.Unix(saved, 0))
	k.due = min(max(k.every-age, 0), k.every)
	return true, nil
}

// shut takes the key file away from everybody else: who has a key reads and
// forges cookies.
func (k *keyring) shut() {
	switch was, err := state.Close(k.file); {
	case err != nil:
		k.log.Warn("the nts server keys could not be closed to others; run chmod 600 on the file, and renew the keys", "code", "keys-exposed", "file", k.file, "error", err)
	case was:
		k.log.Warn("the nts server keys could be read or written by others; the file has mode 0600 now: renew the keys, others may have them", "code", "keys-exposed", "file", k.file)
	}
}

// store writes the current keys. A failure is a warning: the keys still work
// until the daemon ends.
func (k *keyring) store() {
	if k.file == "" {
		return
	}
	err := state.WriteFile(k.file, k.current.Load().Marshal(k.now().Unix()), 0o600)
	switch {
	case err != nil && !k.unsaved:
		k.log.Warn("could not store the nts server keys: clients will need a new key exchange after a restart; trying again", "code", "keys-not-kept", "error", err)
	case err == nil && k.unsaved:
		k.log.Info("stored the nts server keys", "file", k.file)
	}
	k.unsaved = err != nil
}

// tick does what is due: it renews the keys, or tries again to store them.
func (k *keyring) tick() error {
	k.mu.Lock()
	if !k.unsaved || k.due <= storeRetry {
		k.mu.Unlock()
		return k.rotate()
	}
	defer k.mu.Unlock()
	k.due -= storeRetry
	k.store()
	k.reckon()
	return nil
}

// rotate renews the sealing key. The next renewal on schedule is a whole
// interval away.
func (k *keyring) rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.due = k.every
	k.reckon()
	next, err := k.current.Load().Rotate(k.entropy, k.stale)
	if err != nil {
		return fmt.Errorf("cookie keys: %w", err)
	}
	k.use(next)
	k.store()
	return nil
}

// use takes another set into use.
func (k *keyring) use(set *cookie.Keyset) {
	k.current.Store(set)
	if k.renewed != nil {
		k.renewed()
	}
}

// reckon has run look at when the next renewal is due.
func (k *keyring) reckon() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// configure changes how many old keys are kept, from the next renewal on, and
// how often they are renewed.
func (k *keyring) configure(stale int, every time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stale = stale
	if k.every != every {
		k.every, k.due = every, min(k.due, every)
		k.reckon()
	}
}

// reread takes in the keys of the file, which another server that shares them
// may have renewed. Keys that are in use stay when the file does not hold any.
func (k *keyring) reread() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == "" {
		return nil
	}
	data, err := state.ReadFile(k.file, maxKeyFile)
	if err != nil {
		return err
	}
	set, saved, err := cookie.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", k.file, err)
	}
	k.shut()
	k.use(set)
	k.due = min(max(k.every-k.now().Sub(time.Unix(saved, 0)), 0), k.every)
	k.reckon()
	return nil
}

// wait is how long it is until the next renewal.
func (k *keyring) wait() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.unsaved {
		return min(k.due, storeRetry)
	}
	return k.due
}

// run renews the keys on schedule until the context ends.
func (k *keyring) run(ctx context.Context) {
	t := time.NewTimer(k.wait())
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.changed:
			t.Reset(k.wait())
			continue
		case <-t.C:
		}
		if err := k.tick(); err != nil {
			k.log.Warn("could not renew the nts server keys; the old ones stay in use", "code", "keys-not-renewed", "error", err)
		}
	}
}
