package lookup

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// SystemFile is where the system's resolvers are listed, see resolv.conf(5).
const SystemFile = "/etc/resolv.conf"

// mostServers is how many resolvers of the file count, as for the C library.
const mostServers = 3

// Errors of a look-up that found nothing that may be used.
var (
	// ErrNobodyTrusted is a system without a resolver whose word counts.
	ErrNobodyTrusted = errors.New("no resolver is trusted to check DNSSEC: run one on this machine, or write options trust-ad in " + SystemFile)

	// ErrInsecure is an answer that nothing proves.
	ErrInsecure = errors.New("the answer is not DNSSEC-secure: the domain must be signed, and the resolver must validate")
)

// forwarder is Docker's resolver inside containers. It is on the loopback
// network, validates nothing, and hands on what others say.
var forwarder = netip.MustParseAddr("127.0.0.11")

// Resolvers are those whose AD bit is believed.
type Resolvers struct{ Addrs []netip.AddrPort }

// Trusted reads which of the system's resolvers to believe: those on this
// machine, where nobody is in between; and all of them when the file says that
// they and the way to them are trusted (options trust-ad).
func Trusted(file string) (Resolvers, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return trusted(strings.NewReader(""))
	}
	if err != nil {
		return Resolvers{}, err
	}
	defer f.Close()
	return trusted(f)
}

func trusted(text io.Reader) (Resolvers, error) {
	var listed []netip.Addr
	all := false
	lines := bufio.NewScanner(io.LimitReader(text, mostAnswer))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(words[1]); err == nil && len(listed) < mostServers {
				listed = append(listed, a)
			}
		case "options":
			all = all || slices.Contains(words[1:], "trust-ad")
		}
	}
	if err := lines.Err(); err != nil {
		return Resolvers{}, err
	}
	if len(listed) == 0 { // as resolv.conf(5) has it
		listed = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	var r Resolvers
	for _, a := range listed {
		if all || a.Unmap().IsLoopback() && a.Unmap() != forwarder {
			r.Addrs = append(r.Addrs, netip.AddrPortFrom(a, 53))
		}
	}
	return r, nil
}
