// Command accuracy runs simulated worlds against the real engine and says how
// well it keeps time: a line a scenario, and with -out tables and pictures.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ntpd-go/ntpd-go/internal/sim"
)

// known is the file whose reference figures are used for the same worlds in
// other files.
const known = "test/accuracy/scenarios.json"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

// options of a run.
type options struct {
	first, last uint64
	only        *regexp.Regexp
	trace       bool
	out         string
}

func run(args []string) error {
	var o options
	flags := flag.NewFlagSet("accuracy", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: accuracy [flags] [FILE.json ...]\nRuns the scenarios of the files (%s).\n", known)
		flags.PrintDefaults()
	}
	seedRange := flags.String("seeds", "601-620", "seeds, FIRST-LAST")
	only := flags.String("only", "", "run only scenarios whose name matches this expression")
	flags.BoolVar(&o.trace, "trace", false, "print what happens in each run")
	flags.StringVar(&o.out, "out", "", "directory for tables and pictures")
	recorded := flags.String("replay", "", "replay a recording of ntp-daemon --record, in place of scenarios")
	free := flags.Bool("free", false, "with -replay: let today's engine steer a clock of its own with the recorded packets")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *recorded != "" && *free:
		return rerun(*recorded)
	case *recorded != "":
		return replay(*recorded)
	case *free:
		return errors.New("-free needs -replay FILE")
	}
	var err error
	if o.first, o.last, err = seeds(*seedRange); err != nil {
		return err
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	files := flags.Args()
	if len(files) == 0 {
		files = []string{known}
	}
	var every []sim.Summary
	for _, f := range files {
		sums, bad := o.file(f)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", f, bad))
		}
		every = append(every, sums...)
	}
	if len(every) == 0 {
		return errors.Join(err, errors.New("no scenario was run; is -only right?"))
	}
	if o.out != "" {
		err = errors.Join(err, explain(o.out))
	}
	fmt.Println(lastLine(every))
	return err
}

// file runs the scenarios of a file.
func (o *options) file(name string) ([]sim.Summary, error) {
	all, err := load(name)
	if err != nil {
		return nil, err
	}
	fmt.Printf("%s, seeds %d to %d\n%s\n", name, o.first, o.last, sim.Header())
	var sums []sim.Summary
	for _, s := range all {
		if !o.only.MatchString(s.Name) {
			continue
		}
		sum, err := o.many(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		fmt.Println(sum.Line())
		sums = append(sums, sum)
	}
	for _, line := range verdicts(sums) {
		fmt.Println(line)
	}
	if o.out == "" || len(sums) == 0 {
		return sums, nil
	}
	return sums, o.report(strings.TrimSuffix(filepath.Base(name), ".json"), sums)
}

// load reads scenarios and gives those without reference figures the figures
// that are known for the same world.
func load(name string) ([]*sim.Scenario, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	all, ignored, err := sim.Parse(b)
	if err != nil {
		return nil, err
	}
	for _, k := range ignored {
		fmt.Fprintf(os.Stderr, "accuracy: %s: %s is not known and not simulated\n", name, k)
	}
	if b, err = os.ReadFile(known); err != nil {
		return all, nil // run from elsewhere: no figures
	}
	ours, _, err := sim.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", known, err)
	}
	for _, s := range all {
		i := slices.IndexFunc(ours, func(o *sim.Scenario) bool { return o.Name == s.Name && sim.SameWorld(o, s) })
		if s.Reference == nil && i >= 0 {
			s.Reference = ours[i].Reference
		}
	}
	return all, nil
}

func seeds(r string) (first, last uint64, err error) {
	a, b, found := strings.Cut(r, "-")
	if !found {
		b = a
	}
	if first, err = strconv.ParseUint(a, 10, 64); err == nil {
		last, err = strconv.ParseUint(b, 10, 64)
	}
	if err != nil || last < first || last-first >= 1e6 {
		return 0, 0, fmt.Errorf("-seeds %q: want FIRST-LAST, such as 601-640", r)
	}
	return first, last, nil
}

// many runs a scenario with each seed on all processors.
func (o *options) many(s *sim.Scenario) (sim.Summary, error) {
	runs := make([]*sim.Result, o.last-o.first+1)
	errs := make([]error, len(runs))
	next := make(chan int)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	var trace func(string, ...any)
	if o.trace {
		workers = 1
		trace = func(f string, a ...any) { fmt.Printf(f+"\n", a...) }
	}
	for range workers {
		wg.Go(func() {
			for i := range next {
				runs[i], errs[i] = sim.Run(s, o.first+uint64(i), trace)
			}
		})
	}
	for i := range runs {
		next <- i
	}
	close(next)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return sim.Summary{}, err
	}
	return sim.Summarise(runs), nil
}
