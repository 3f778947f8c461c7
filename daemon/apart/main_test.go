package apart

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/daemon/privilege"
	"github.com/ntpd-go/ntpd-go/internal/seccomp"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// fake is what the test binary does in place of Main; variables that begin with
// GO are inherited.
const fake = "GO_APART_FAKE"

func TestMain(m *testing.M) {
	if len(os.Args) != 2 || os.Args[1] != Arg {
		os.Exit(m.Run())
	}
	confined := appendFrame(nil, frameConfined, appendConfined(nil, privilege.Result{}, errors.New("no luck\n")))
	mark := appendFrame(nil, frameMarked, appendNumber(nil, 1))
	for how, says := range map[string][]byte{
		"too long":        appendFrame(nil, frameEvent, make([]byte, maxFromChild+1)),
		"confined twice":  slices.Concat(confined, confined),
		"marked twice":    slices.Concat(confined, mark, mark),
		"another mark":    slices.Concat(confined, appendFrame(nil, frameMarked, appendNumber(nil, 1<<60))),
		"no mark":         slices.Concat(confined, appendFrame(nil, frameMarked, appendNumber(nil, 0))),
		"the daemon says": appendFrame(nil, frameBegin, nil),
	} {
		if os.Getenv(fake) == how {
			f := os.NewFile(fdControl, "control")
			_, _ = f.Write(says)
			_, _ = io.Copy(io.Discard, f)
			return
		}
	}
	switch os.Getenv(fake) {
	case "crash":
		panic("no such luck")
	case "sandbox":
		sandbox()
	}
	os.Exit(Main())
}

// patience bounds every wait for what must happen.
const patience = 30 * time.Second

// world is a Host that runs.
type world struct {
	*Host
	t    *testing.T
	ca   *testcert.CA
	addr netip.AddrPort
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	keys     *cookie.Keyset
	log      bytes.Buffer
	outcomes []ke.Outcome
}

// Write takes the log.
func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) newest() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keys.MarshalNewest()
}

func (w *world) rotate() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	next, err := w.keys.Rotate(rand.Reader, 7)
	if err != nil {
		w.t.Fatal(err)
	}
	w.keys = next
}

func (w *world) leaf() tls.Certificate { return w.ca.Leaf([]string{"127.0.0.1"}).TLS }

// newWorld makes a Host of one section that nobody runs yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ca: testcert.NewCA(t), done: make(chan struct{})}
	var err error
	if w.keys, err = cookie.NewKeyset(rand.Reader); err != nil {
		t.Fatal(err)
	}
	l, err := ke.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.addr = ke.AddrPort(l.Addr())
	w.Host, err = New(Config{
		Program: "/proc/self/exe", Key: w.newest, Line: strings.ToUpper, Log: slog.New(slog.NewTextHandler(w, nil)),
		Outcome: func(_ int, o ke.Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.outcomes = append(w.outcomes, o)
		},
		Sections: []Section{{Listener: l, Certificate: w.leaf(), Settings: Settings{
			Timeout: 10 * time.Second, Connections: 8, Kept: 1, NTPServer: "ntp.test", NTPPort: 1123, Verbose: true,
			Authorise: ke.NewAuthoriser([]string{"a secret token"}, nil),
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs the Host until the test ends.
func (w *world) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stop = cancel
	go func() {
		defer close(w.done)
		w.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-w.done
	})
}

// exchange makes a key exchange, which waits for a process that is about to
// start.
func (w *world) exchange() ke.Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	r, err := (&ke.Client{}).Exchange(ctx, ke.ClientRequest{Host: "127.0.0.1", Port: w.addr.Port(), Roots: w.ca.Pool()})
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.logged())
	}
	return r
}

// await waits for a line of the log and returns what its group matches.
func (w *world) await(pattern string, count int) string {
	w.t.Helper()
	re := regexp.MustCompile(pattern)
	for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if m := re.FindAllStringSubmatch(w.logged(), -1); len(m) >= count {
			return m[count-1][len(m[count-1])-1]
		}
		if time.Now().After(limit) {
			w.t.Fatalf("no %d lines like %q:\n%s", count, pattern, w.logged())
		}
	}
}

// until waits for what is to come true.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for limit := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			w.t.Fatalf("never: %s\n%s", what, w.logged())
		}
	}
}

func (w *world) told() []ke.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.outcomes)
}

// pid is that of the process that was started as the nth.
func (w *world) pid(nth int) int {
	w.t.Helper()
	pid, err := strconv.Atoi(w.await(`key-exchange-process pid=(\d+)`, nth))
	if err != nil {
		w.t.Fatal(err)
	}
	return pid
}

func (w *world) opens(c []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.keys.Open(c)
	return err == nil
}

// Another process answers as this one would, with the key and the certificate
// of the moment; what it counts and says is here.
func TestAnotherProcessServes(t *testing.T) {
	w := newWorld(t)
	w.run()
	first := w.exchange()
	if !w.opens(first.Cookies[0]) || first.Server != "ntp.test" || first.Port != 1123 || len(first.Cookies) != 8 {
		t.Errorf("got %+v", first)
	}
	if w.pid(1) == os.Getpid() {
		t.Error("it is the same process")
	}

	before := w.newest()
	w.rotate()
	w.Renewed()
	for limit := time.Now().Add(patience); ; {
		if r := w.exchange(); bytes.Equal(r.Cookies[0][:4], w.newest()[:4]) {
			if !w.opens(r.Cookies[7]) || !w.opens(first.Cookies[7]) {
				t.Error("a cookie cannot be opened")
			}
			break
		} else if !bytes.Equal(r.Cookies[0][:4], before[:4]) || time.Now().After(limit) {
			t.Fatal("the new key is not used")
		}
	}

	next := w.leaf()
	if err := w.Present(0, next); err != nil {
		t.Fatal(err)
	}
	if r := w.exchange(); !r.CertificateNotAfter.Equal(next.Leaf.NotAfter) {
		t.Errorf("the certificate ends at %v", r.CertificateNotAfter)
	}
	if got := w.served(); !got.Equal(&next) {
		t.Errorf("presents %v, not %v", got.serial, next.Leaf.SerialNumber)
	}
	w.until("three exchanges are counted", func() bool { return w.Counts(0)[ke.KeyExchange].Load() >= 3 })
	w.until("three exchanges are told", func() bool { return len(w.told()) >= 3 })
	if o := w.told()[0]; o.Kind != ke.KeyExchange || o.Remote.Addr() != w.addr.Addr() {
		t.Errorf("outcome %+v", o)
	}
}

// Whatever the daemon may do, who talks to strangers may not.
func TestTheProcessHasNoCapability(t *testing.T) {
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); errno != 0 {
		t.Skip("built with cgo, with which nothing can be given up; CGO_ENABLED=0")
	}
	w := newWorld(t)
	w.run()
	w.exchange() // it has begun, so it has given up what there was
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.pid(1)))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads of the process: %v", err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			if !strings.Contains(string(status), set+":\t0000000000000000\n") {
				t.Errorf("%s is not empty in a thread:\n%s", set, status)
			}
		}
		filters := runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"
		if filters && !strings.Contains(string(status), "\nSeccomp:\t2\n") {
			t.Errorf("a thread makes all system calls:\n%s", status)
		}
		if filters && !strings.Contains(w.logged(), "filtered=true") {
			t.Errorf("the filter is not told:\n%s", w.logged())
		}
	}
}

// sandbox forbids the process to give up its capabilities.
func sandbox() {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	if err := seccomp.AllThreads([]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CAPSET, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}); err != nil {
		panic(err)
	}
	runtime.UnlockOSThread()
}

// Strangers are not met with privileges that could not be given up.
func TestAProcessThatKeepsPrivilegesEnds(t *testing.T) {
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); errno != 0 {
		t.Skip("built with cgo, with which nothing can be given up; CGO_ENABLED=0")
	}
	t.Setenv(fake, "sandbox")
	w := newWorld(t)
	w.run()
	w.await(`level=WARN msg="the process of the key exchange could not give up its privileges".*error="?CAPSET: OPERATION NOT PERMITTED`, 1) // by Line
	w.await(`code=key-exchange-ended error="exit status 70: \\"error: no key exchange without giving up privileges: capset: operation not permitted`, 2)
}

// presented is a certificate by its number.
type presented struct{ serial string }

func (p presented) Equal(c *tls.Certificate) bool { return p.serial == fmt.Sprint(c.Leaf.SerialNumber) }

// served is what a handshake shows.
func (w *world) served() presented {
	w.t.Helper()
	c, err := tls.Dial("tcp", w.addr.String(), &tls.Config{RootCAs: w.ca.Pool(), NextProtos: []string{"ntske/1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	return presented{fmt.Sprint(c.ConnectionState().PeerCertificates[0].SerialNumber)}
}

// A process that is killed is started again, with what is in use by then. Its
// counts go on, nobody is refused meanwhile, and the log says it once.
func TestADeadProcessIsStartedAgain(t *testing.T) {
	w := newWorld(t)
	w.run()
	old := w.exchange().Cookies[0]
	w.until("it is counted", func() bool { return w.Counts(0)[ke.KeyExchange].Load() == 1 })
	pid := w.pid(1)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.rotate()
	w.Renewed()
	next := w.leaf()
	if err := w.Present(0, next); err != nil {
		t.Fatal(err)
	}
	w.await(`code=key-exchange-ended error="signal: killed"`, 1)
	w.pid(2)
	w.until("it has everything", func() bool {
		w.Host.mu.Lock()
		defer w.Host.mu.Unlock()
		return w.taken == w.revision
	})
	r := w.exchange()
	if !w.opens(r.Cookies[0]) || !w.opens(old) || !bytes.Equal(r.Cookies[0][:4], w.newest()[:4]) {
		t.Error("cookies do not open, or are sealed with an old key")
	}
	if got := w.served(); !got.Equal(&next) {
		t.Errorf("presents %v, not %v", got.serial, next.Leaf.SerialNumber)
	}
	w.until("the next is counted too", func() bool { return w.Counts(0)[ke.KeyExchange].Load() == 2 })
	if got := strings.Count(w.logged(), "key-exchange-ended"); got != 1 {
		t.Errorf("%d lines say it:\n%s", got, w.logged())
	}
}

// At the end the process finishes what runs and is gone.
func TestTheEndOfTheProcess(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.exchange()
	pid := w.pid(1)
	w.stop()
	<-w.done
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the process is still there")
	}
	if strings.Contains(w.logged(), "key-exchange-ended") {
		t.Errorf("it is said to have died:\n%s", w.logged())
	}
}

// Whoever speaks nonsense is killed; whoever crashes has the reason told, and
// both are given more and more time.
func TestAProcessThatIsOfNoUse(t *testing.T) {
	for how, want := range map[string]string{
		"too long":        `error="frame is too long: 1025 octets, signal: killed`,
		"confined twice":  `error="malformed frame: it has given up its privileges twice, signal: killed`,
		"marked twice":    `error="malformed frame: mark 1 after 1, signal: killed`,
		"another mark":    `error="malformed frame: mark 1152921504606846976 after 0, signal: killed`,
		"no mark":         `error="malformed frame: mark 0 after 0, signal: killed`,
		"the daemon says": `error="malformed frame: type 4, signal: killed`,
		"crash":           `error="exit status 2: \\"panic: no such luck`,
	} {
		t.Run(how, func(t *testing.T) {
			t.Setenv(fake, how)
			w := newWorld(t)
			w.run()
			w.await(want, 3)
			for _, pause := range []string{"in=100ms", "in=200ms", "in=400ms"} {
				w.await(pause, 1)
			}
			if text := w.logged(); strings.Count(text, "could not give up") > strings.Count(text, "is started again")+1 {
				t.Errorf("a process has more than one line:\n%s", text)
			}
			if strings.Contains(want, "mark") {
				w.await(`level=WARN msg="the process of the key exchange could not give up its privileges".*error="NO LUCK`, 1) // by Line
			}
		})
	}
}
