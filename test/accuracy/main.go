// Command accuracy runs simulated worlds against the real engine and prints
// how well it keeps time, a line a scenario.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/ntpd-go/ntpd-go/internal/sim"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("accuracy", flag.ContinueOnError)
	file := flags.String("scenarios", "test/accuracy/scenarios.json", "scenario file")
	seedRange := flags.String("seeds", "601-620", "seeds, FIRST-LAST")
	only := flags.String("only", "", "run only scenarios whose name matches this expression")
	trace := flags.Bool("trace", false, "print what happens in each run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	all, err := sim.Parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	want, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	first, last, err := seeds(*seedRange)
	if err != nil {
		return err
	}
	fmt.Println(sim.Header())
	for _, s := range all {
		if !want.MatchString(s.Name) {
			continue
		}
		sum, err := many(s, first, last, *trace)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		fmt.Println(sum.Line())
	}
	return nil
}

func seeds(r string) (first, last uint64, err error) {
	a, b, found := strings.Cut(r, "-")
	if !found {
		b = a
	}
	if first, err = strconv.ParseUint(a, 10, 64); err == nil {
		last, err = strconv.ParseUint(b, 10, 64)
	}
	if err != nil || last < first {
		return 0, 0, fmt.Errorf("-seeds %q: want FIRST-LAST, such as 601-640", r)
	}
	return first, last, nil
}

// many runs a scenario with each seed on all processors.
func many(s *sim.Scenario, first, last uint64, traced bool) (sim.Summary, error) {
	runs := make([]*sim.Result, last-first+1)
	errs := make([]error, len(runs))
	next := make(chan int)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	var trace func(string, ...any)
	if traced {
		workers = 1
		trace = func(f string, a ...any) { fmt.Printf(f+"\n", a...) }
	}
	for range workers {
		wg.Go(func() {
			for i := range next {
				runs[i], errs[i] = sim.Run(s, first+uint64(i), trace)
			}
		})
	}
	for i := range runs {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return sim.Summary{}, err
		}
	}
	return sim.Summarise(runs), nil
}
