package doctest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/testdns"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// nameServer is what the test's program runs itself with, as a resolver in a
// namespace: "secure" sets the AD bit.
const nameServer = "NTPD_GO_TEST_NAME_SERVER"

// TestNameServer is the resolver of TestPoolGuideClientFindsServersInDNS.
func TestNameServer(t *testing.T) {
	mode := os.Getenv(nameServer)
	if mode == "" {
		t.Skip("runs for another test")
	}
	addrs := map[string][4]byte{
		"time1.example.org.": {127, 0, 0, 1}, "time2.example.org.": {127, 0, 0, 2}, "members.example.org.": {127, 0, 0, 3},
	}
	testdns.ServeOn(t, "127.0.0.1:53", func(q dnsmessage.Message, _ string) *dnsmessage.Message {
		name := strings.ToLower(q.Questions[0].Name.String())
		m := testdns.Records(q, 60)
		switch a, known := addrs[name]; {
		case name == "_ntske._tcp.members.example.org." && q.Questions[0].Type == dnsmessage.TypeSRV:
			m = testdns.Records(q, 60, srv.Record{Port: 4461, Target: "time1.example.org"}, srv.Record{Port: 4462, Target: "time2.example.org"})
		case !known:
			m.RCode = dnsmessage.RCodeNameError
		case q.Questions[0].Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60}, Body: &dnsmessage.AResource{A: a},
			}}
		}
		m.AuthenticData = mode == "secure"
		return m
	})
	select {} // until it is killed
}

// The guide's client, with the real programs: where the resolver says that the
// records are secure it has both servers, each at the port of its record;
// where it does not, it asks the name itself, where nobody is, and says why.
func TestPoolGuideClientFindsServersInDNS(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a namespace; continuous integration has it")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip to bring up the loopback device of a namespace; continuous integration has it")
	}
	bin := build(t, "ntp-daemon", "ntp-ctl")
	for mode, judge := range map[string]func(*testing.T, observe.State, string){"secure": haveBoth, "insecure": askTheName} {
		t.Run(mode, func(t *testing.T) {
			dir := serversInDNS(t)
			socket := filepath.Join(dir, "observe")
			edit(t, dir, "client.toml", "count = 4", "count = 2")
			write(t, dir, "client.toml", read(t, dir, "client.toml")+"[observability]\nobservation-path = \""+socket+"\"\n")
			if out := shell(t, dir, bin+"/ntp-ctl validate -c client.toml 2>&1"); out != "Config looks good\n" {
				t.Errorf("validate: %s", out)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var log bytes.Buffer
			cmd := exec.CommandContext(ctx, "unshare", "-n", "-m", "sh", "-c", fmt.Sprintf(
				`ip link set lo up && mount --bind hosts /etc/hosts && mount --bind resolv.conf /etc/resolv.conf &&
				{ %[2]s -test.run '^TestNameServer$' & dns=$!
				%[1]s/ntp-daemon -c time1.toml --no-clock & first=$!
				%[1]s/ntp-daemon -c time2.toml --no-clock & second=$!
				until grep -q ':0035 ' /proc/net/udp; do sleep 0.05; done # the name server is there
				%[1]s/ntp-daemon -c client.toml --no-clock & client=$!
				trap 'kill $dns $first $second $client; wait' TERM; wait; }`, bin, os.Args[0]))
			cmd.Env = append(os.Environ(), nameServer+"="+mode)
			cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			state := awaitState(ctx, socket, func(s observe.State) bool {
				return mode == "secure" && len(holders(s)) == 2 || mode != "secure" && s.Own != nil && len(s.Own.Sources) > 0 && s.Own.Sources[0].Reason == "refused"
			})
			shell(t, dir, fmt.Sprintf("kill -TERM %d", cmd.Process.Pid))
			_ = cmd.Wait() // it ends by the signal
			judge(t, state, log.String())
		})
	}
}

// serversInDNS makes the guide's client and two servers.
func serversInDNS(t *testing.T) string {
	t.Helper()
	dir := followPool(t)
	script, err := filepath.Abs(root + "/test-keys/gen-cert.sh")
	if err != nil {
		t.Fatal(err)
	}
	shell(t, dir, script+" time2 time2.example.org")
	for i, name := range []string{"time1", "time2"} {
		address := fmt.Sprintf("127.0.0.%d", i+1)
		write(t, dir, name+".toml", fmt.Sprintf("[observability]\nobservation-path = \"\"\n[synchronization]\nlocal-stratum = 1\n"+
			"[[server]]\nlisten = \"%[1]s:123\"\n[[nts-ke-server]]\nlisten = \"%[1]s:%[2]d\"\n"+
			"certificate-chain-path = \"%[3]s.fullchain.pem\"\nprivate-key-path = \"%[3]s.key\"\n", address, 4461+i, name))
	}
	write(t, dir, "hosts", "127.0.0.1 localhost\n")
	write(t, dir, "resolv.conf", "nameserver 127.0.0.1\noptions timeout:1\n")
	return dir
}

// holders are the addresses of sources with cookies.
func holders(s observe.State) map[string]bool {
	found := map[string]bool{}
	if s.Own != nil {
		for _, r := range s.Own.Sources {
			if r.Cookies != nil && *r.Cookies == 8 {
				found[r.Address] = true
			}
		}
	}
	return found
}

func haveBoth(t *testing.T, s observe.State, log string) {
	if got := holders(s); !got["127.0.0.1:123"] || !got["127.0.0.2:123"] || strings.Contains(log, "srv-not-used") {
		t.Errorf("keys for %v\n%s", got, log)
	}
}

func askTheName(t *testing.T, s observe.State, log string) {
	if s.Own == nil || len(s.Own.Sources) != 2 {
		t.Fatalf("no state\n%s", log)
	}
	if r := s.Own.Sources[0]; r.Reason != "refused" || !strings.Contains(r.Text, "members.example.org") || !strings.Contains(r.Text, "not DNSSEC-secure") {
		t.Errorf("%+v\n%s", r, log)
	}
	if strings.Count(log, "code=srv-not-used") != 1 {
		t.Errorf("the log does not say once that the records are not used\n%s", log)
	}
}
