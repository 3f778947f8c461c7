package scene

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Suite is a command that runs rows, in the order of their identifiers.
type Suite struct {
	Name   string
	Rows   []Row
	Chosen func(Row) bool                               // besides -run; nil: all
	Report func(results []Result, summary string) error // gets all results; nil: nobody
}

// Main adds the flags that all suites have to those of the command, runs the rows and returns the exit code: 1 after a
// failed row, 64 for wrong flags, 70 when the suite cannot run.
func (s *Suite) Main(flags *flag.FlagSet, args []string) int {
	bin := flags.String("bin", "bin", "directory with the commands")
	pattern := flags.String("run", "", "only rows whose identifier matches this regular expression")
	parallel := flags.Int("j", 4, "rows that run at the same time")
	keep := flags.Bool("keep", false, "keep the logs and files of the rows")
	if err := flags.Parse(args); err != nil {
		return 64
	}
	match, err := regexp.Compile("^(" + *pattern + ")")
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
		return 64
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := s.run(ctx, *bin, match, *parallel, *keep)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
		return 70
	}
	if failed > 0 {
		return 1
	}
	return 0
}

func (s *Suite) run(ctx context.Context, bin string, match *regexp.Regexp, parallel int, keep bool) (failed int, err error) {
	stage, err := Open(bin, s.Name)
	if err != nil {
		return 0, err
	}
	rows := slices.DeleteFunc(s.Rows, func(r Row) bool {
		return !match.MatchString(r.ID) || s.Chosen != nil && !s.Chosen(r)
	})
	if len(rows) == 0 {
		return 0, fmt.Errorf("no row matches %q", match)
	}
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.ID, b.ID) })
	results := stage.Run(ctx, rows, parallel)
	line, failed := Summary(results)
	if s.Report != nil {
		if err := s.Report(results, line); err != nil {
			return failed, err
		}
	}
	if keep || failed > 0 {
		fmt.Println("logs and files of the rows are in", stage.Dir)
	} else if err := stage.Close(); err != nil {
		return failed, err
	}
	fmt.Println(line)
	return failed, nil
}
