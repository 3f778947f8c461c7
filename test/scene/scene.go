// Package scene is the stage of the suites that attack the real daemons and let them meet faults: rows that run in hosts
// of their own, a client of the key exchange and packets as an attacker makes them, servers that lie as they are told, and
// the discipline that every row keeps: it first shows that the undisturbed exchange works, and only then that the
// disturbed one ends as it should.
package scene

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/test/lab"
)

// Scene is what all rows of a run share.
type Scene struct {
	Bin   string // directory with the commands
	Dir   string // everything that the run writes
	Root  string // of the module, for rows that run its tests
	Roots *x509.CertPool

	// Behind is, for each of the commands, a program that it is started by way of, and its arguments.
	Behind map[string][]string

	Authority, Wrong *lab.Authority

	certs string
}

// Names are known on every host.
var Names = map[string]netip.Addr{
	"server.test": netip.MustParseAddr("127.0.0.1"),
	"second.test": netip.MustParseAddr("127.0.0.2"),
	"third.test":  netip.MustParseAddr("127.0.0.3"),
	"pool.test":   netip.MustParseAddr("127.0.0.4"),
}

// Open makes the directory of a run and its certificates.
func Open(bin, name string) (*Scene, error) {
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("needs root to make network namespaces")
	}
	if err := lab.NeedTools(say, "ip"); err != nil {
		return nil, err
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	for _, program := range []string{"ntp-daemon", "nts-pool-ke", "ntp-ctl"} {
		if _, err := os.Stat(filepath.Join(bin, program)); err != nil {
			return nil, fmt.Errorf("%w (run make build)", err)
		}
	}
	if err := raiseDescriptors(); err != nil {
		return nil, err
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return nil, err
	}
	s := &Scene{Bin: bin, Dir: dir, Root: root, certs: filepath.Join(dir, "certs")}
	return s, s.makeCertificates()
}

// Within runs rows as parts of this one, each command behind its wrapper, and returns what became of them.
func (t *Trial) Within(behind map[string][]string, rows []Row) []Result {
	s := *t.Scene
	s.Behind, s.Dir = behind, t.dir
	var results []Result
	for _, r := range rows {
		results = append(results, s.run(t.Context, r))
	}
	return results
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// raiseDescriptors lets this process hold the thousands of connections that some rows open, as far as it may.
func raiseDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

func (s *Scene) makeCertificates() error {
	if err := os.MkdirAll(s.certs, 0o755); err != nil {
		return err
	}
	var err error
	if s.Authority, err = lab.NewAuthority("scene authority"); err != nil {
		return err
	}
	if s.Wrong, err = lab.NewAuthority("scene authority"); err != nil { // differs in nothing but its key
		return err
	}
	if err := s.Authority.WriteRoot(filepath.Join(s.certs, "ca.pem")); err != nil {
		return err
	}
	if err := s.Wrong.WriteRoot(filepath.Join(s.certs, "wrong-ca.pem")); err != nil {
		return err
	}
	for name := range Names {
		leaf, _, _ := strings.Cut(name, ".")
		if err := s.Authority.WriteLeaf(s.certs, leaf, name); err != nil {
			return err
		}
	}
	s.Roots, err = ke.LoadRoots(filepath.Join(s.certs, "ca.pem"))
	return err
}

// Close removes what the run wrote.
func (s *Scene) Close() error { return os.RemoveAll(s.Dir) }

// Row is one line of a suite's table.
type Row struct {
	ID    string
	What  string // the attack or fault
	P0    bool   // runs for every change
	Prove func(t *Trial)
	Limit time.Duration // bound on its time, two minutes if 0
	Alone bool          // runs while no other row does: it measures how much there is of something
}

// Outcome of a row.
type Outcome string

// Outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "FAILED"
	Skipped Outcome = "skipped"
)

// Result is what became of a row.
type Result struct {
	Row
	Outcome  Outcome
	Evidence string
	Took     time.Duration
}

// Run runs rows, a few at a time, and prints a line as each ends. Results are in the order of the rows.
func (s *Scene) Run(ctx context.Context, rows []Row, parallel int) []Result {
	results := make([]Result, len(rows))
	slots := make(chan struct{}, max(parallel, 1))
	var mu sync.Mutex
	var all sync.WaitGroup
	one := func(i int) {
		result := s.run(ctx, rows[i])
		mu.Lock()
		defer mu.Unlock()
		results[i] = result
		fmt.Printf("%-4s %-7s %5.1fs  %s: %s\n", result.ID, result.Outcome, result.Took.Seconds(), result.What, result.Evidence)
	}
	for i := range rows {
		if rows[i].Alone {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			one(i)
		})
	}
	all.Wait()
	for i := range rows {
		if rows[i].Alone {
			one(i)
		}
	}
	return results
}

// run runs one row on a goroutine of its own, which Fatal and Skip end.
func (s *Scene) run(ctx context.Context, r Row) Result {
	limit := r.Limit
	if limit == 0 {
		limit = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := &Trial{Scene: s, Context: ctx, dir: filepath.Join(s.Dir, r.ID)}
	begin, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		defer t.end()
		r.Prove(t)
		if t.failure == "" && t.controls == 0 {
			t.failure = "the row never showed that the undisturbed exchange works"
		}
	}()
	<-done
	result := Result{Row: r, Outcome: Passed, Evidence: strings.Join(t.evidence, "; "), Took: time.Since(begin)}
	switch {
	case t.skipped != "":
		result.Outcome, result.Evidence = Skipped, t.skipped
	case t.failure != "":
		result.Outcome, result.Evidence = Failed, t.failure+" ["+t.dir+"]"
	}
	return result
}

// Summary is the last line of a run.
func Summary(results []Result) (line string, failed int) {
	n := map[Outcome]int{}
	for _, r := range results {
		n[r.Outcome]++
	}
	return fmt.Sprintf("%d passed, %d failed, %d skipped", n[Passed], n[Failed], n[Skipped]), n[Failed]
}

// Trial is one row while it runs.
type Trial struct {
	*Scene
	Context context.Context //nolint:containedctx // it is the row's, and ends with it

	dir      string
	cleanup  []func()
	controls int
	evidence []string
	failure  string
	skipped  string
}

func (t *Trial) end() {
	for i := len(t.cleanup) - 1; i >= 0; i-- {
		t.cleanup[i]()
	}
}

// Cleanup has f run when the row ends, the last first.
func (t *Trial) Cleanup(f func()) { t.cleanup = append(t.cleanup, f) }

// Fatal ends the row as failed.
func (t *Trial) Fatal(format string, args ...any) {
	t.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// Skip ends the row as one that cannot run here.
func (t *Trial) Skip(format string, args ...any) {
	t.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// Check ends the row as failed if there is an error.
func (t *Trial) Check(err error) {
	if err != nil {
		t.Fatal("%v", err)
	}
}

// Control notes that the undisturbed exchange was seen to work.
func (t *Trial) Control(format string, args ...any) {
	t.controls++
	text := fmt.Sprintf("control: "+format, args...)
	if !slices.Contains(t.evidence, text) {
		t.evidence = append(t.evidence, text)
	}
}

// Saw notes evidence.
func (t *Trial) Saw(format string, args ...any) {
	t.evidence = append(t.evidence, fmt.Sprintf(format, args...))
}

// Eventually asks until the question has no error, for at most within, and else ends the row as failed.
func (t *Trial) Eventually(within time.Duration, question func() error) {
	ctx, cancel := context.WithTimeout(t.Context, within)
	defer cancel()
	t.Check(lab.Eventually(ctx, 50*time.Millisecond, question))
}

// Hold asks again and again for a time; an error ends the row as failed. It is for what must not happen.
func (t *Trial) Hold(during time.Duration, question func() error) {
	end := time.Now().Add(during)
	for {
		t.Check(question())
		if time.Now().After(end) {
			return
		}
		t.Pause(100 * time.Millisecond)
	}
}

// Pause lets time pass, for attacks that have a rate.
func (t *Trial) Pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context.Done():
		t.Fatal("the row takes too long")
	}
}
