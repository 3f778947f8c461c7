package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// world is what all rows share: the folders with the peers, the certificates, the preload library.
type world struct {
	options   options
	dir       string
	bookworm  *lab.Folder
	trixie    *lab.Folder
	certs     string // directory with ca.pem, wrong-ca.pem and the leaf certificates
	fakeClock string
}

// The names of the bench. Two daemons of one row share the server host, on addresses of their own.
var (
	addrServer = netip.MustParseAddr("10.77.0.1")
	addrSecond = netip.MustParseAddr("10.77.0.2")
	addrPool   = netip.MustParseAddr("10.77.0.3")
	addrClient = netip.MustParseAddr("10.77.0.9")

	benchNames = map[string]netip.Addr{"server.test": addrServer, "second.test": addrSecond, "pool.test": addrPool, nameServer6: addrServer6}
)

func newWorld(o options) (*world, error) {
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("needs root to make network namespaces")
	}
	if err := lab.NeedTools(say, "ip"); err != nil {
		return nil, err
	}
	w := &world{options: o}
	var err error
	if w.options.bin, err = filepath.Abs(o.bin); err != nil {
		return nil, err
	}
	if w.bookworm, err = openFolder("bookworm", "chrony", "ntpsec"); err != nil {
		return nil, err
	}
	if w.trixie, err = openFolder("trixie", "chrony", "ntpd-rs", "ntpsec"); err != nil {
		return nil, err
	}
	if w.dir, err = os.MkdirTemp("", "interop-"); err != nil {
		return nil, err
	}
	if w.fakeClock, err = lab.FakeClock(w.dir, say); err != nil {
		return nil, err
	}
	w.certs = filepath.Join(w.dir, "certs")
	return w, makeCertificates(w.certs)
}

// openFolder gives a Debian folder with the named time daemons side by side.
func openFolder(suite string, daemons ...string) (*lab.Folder, error) {
	f, err := lab.OpenFolder(suite, say)
	if err != nil {
		return nil, err
	}
	// Debian lets each push out the one before, but what they depend on stays.
	if err := f.Install(daemons...); err != nil {
		return nil, err
	}
	return f, f.Overlay(daemons...)
}

func makeCertificates(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	authority, err := lab.NewAuthority("interop authority")
	if err != nil {
		return err
	}
	if err := authority.WriteRoot(filepath.Join(dir, "ca.pem")); err != nil {
		return err
	}
	// The wrong authority differs in nothing but its key.
	wrong, err := lab.NewAuthority("interop authority")
	if err != nil {
		return err
	}
	if err := wrong.WriteRoot(filepath.Join(dir, "wrong-ca.pem")); err != nil {
		return err
	}
	for leaf, names := range map[string][]string{"server": {"server.test", nameServer6}, "second": {"second.test"}, "pool": {"pool.test"}} {
		if err := authority.WriteLeaf(dir, leaf, names...); err != nil {
			return err
		}
	}
	return nil
}

// bench is where one row happens: a server host and a client host joined by a cable.
type bench struct {
	world          *world
	server, client *lab.Host
}

func (w *world) newBench(dir string) (*bench, error) {
	b := &bench{world: w}
	var err error
	if b.server, err = w.newHost("server", dir); err != nil {
		return nil, err
	}
	if b.client, err = w.newHost("client", dir); err != nil {
		b.close()
		return nil, err
	}
	// chrony asks for the name that a pool sends with a final dot, which no hosts file answers.
	table := map[string][]netip.Addr{}
	for name, addr := range benchNames {
		table[name] = []netip.Addr{addr}
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	if err := b.client.SetResolver(loopback); err != nil {
		b.close()
		return nil, err
	}
	if _, err := b.client.ServeNames(loopback, table); err != nil {
		b.close()
		return nil, err
	}
	on := func(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, 24) }
	on6 := func(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, 64) }
	err = lab.Wire(b.server, b.client,
		[]netip.Prefix{on(addrServer), on(addrSecond), on(addrPool), on6(addrServer6)},
		[]netip.Prefix{on(addrClient), on6(addrClient6)})
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// newHost makes a host whose directory holds the certificates and the preload library.
func (w *world) newHost(name, dir string) (*lab.Host, error) {
	h, err := lab.NewHost(name, filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	err = h.SetNames(benchNames)
	if err == nil {
		err = os.CopyFS(h.Dir, os.DirFS(w.certs))
	}
	if err == nil {
		err = copyFile(w.fakeClock, filepath.Join(h.Dir, "fakeclock.so"))
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func (b *bench) close() {
	for _, h := range []*lab.Host{b.client, b.server} {
		if h != nil {
			h.Close()
		}
	}
}
