package doctor

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// openSockets lists the bound UDP or listening TCP sockets of this network
// namespace, as the kernel tells.
func openSockets(network string) []socket {
	var out []socket
	for _, name := range []string{network, network + "6"} {
		text, err := os.ReadFile("/proc/self/net/" + name)
		if err != nil {
			continue
		}
		out = append(out, parseSockets(string(text), network == "tcp")...)
	}
	return out
}

// parseSockets reads the table of /proc/net/udp and its like. A client's
// connected UDP socket does not keep others from a port.
func parseSockets(text string, tcp bool) []socket {
	const listening, unconnected = "0A", "07"
	want := unconnected
	if tcp {
		want = listening
	}
	var out []socket
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != want {
			continue
		}
		if local, ok := parseHexAddr(f[1]); ok {
			out = append(out, socket{local, f[9]})
		}
	}
	return out
}

// parseHexAddr reads an address and port as the kernel writes them: words of
// the machine's own octet order.
func parseHexAddr(s string) (netip.AddrPort, bool) {
	a, p, ok := strings.Cut(s, ":")
	port, err := strconv.ParseUint(p, 16, 16)
	raw, err2 := hex.DecodeString(a)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		if littleEndian {
			raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
		}
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(port)), ok
}

// holders are the processes that have a socket open, as far as we may see.
func (m *machine) holders(inode string) []*process {
	want := "socket:[" + inode + "]"
	var out []*process
	for i := range m.processes {
		p := &m.processes[i]
		fds, err := filepath.Glob("/proc/" + strconv.Itoa(p.pid) + "/fd/*")
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil && target == want {
				out = append(out, p)
				break
			}
		}
	}
	return out
}
