package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/nts/pool"
)

// defaultPoolConfig is read for the status socket unless -c says another.
const defaultPoolConfig = "/etc/ntpd-rs/pool.toml"

// longestPoolStatus bounds what is read of a pool, in octets: ten thousand
// sources.
const longestPoolStatus = 16 << 20

type poolFlags struct {
	*flags
	socket string
	json   bool
}

func poolCommand(f *flags) *cobra.Command {
	p := &poolFlags{flags: f}
	status := &cobra.Command{
		Use:   "status",
		Short: "Show what a running nts-pool-ke does and how its time sources are",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return p.status(cmd.OutOrStdout()) },
	}
	status.Flags().StringVar(&p.socket, "socket", "", "status socket of the pool (default: the status-path of its configuration)")
	status.Flags().BoolVar(&p.json, "json", false, "print the status as JSON")
	cmd := &cobra.Command{
		Use:   "pool",
		Short: "Look at a running nts-pool-ke",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(status)
	return cmd
}

func (p *poolFlags) status(w io.Writer) error {
	path, err := p.path()
	if err != nil {
		return err
	}
	text, err := readPool(path)
	if err != nil {
		return cli.Exit(cli.Failure, err)
	}
	if p.json {
		_, err := w.Write(text)
		return err
	}
	var s pool.Status
	if err := json.Unmarshal(text, &s); err != nil {
		return cli.Exit(cli.Failure, fmt.Errorf("status socket %s: the answer is not a pool's status: %w", path, err))
	}
	return writePool(w, &s)
}

// path finds the socket: by the flag, or in the pool's configuration.
func (p *poolFlags) path() (string, error) {
	if p.socket != "" {
		return p.socket, nil
	}
	file := cmp.Or(p.config, defaultPoolConfig)
	data, err := os.ReadFile(file)
	if err != nil {
		return "", cli.Exit(cli.Config, fmt.Errorf("the pool's configuration: %w; name it with -c, or its socket with --socket", cli.Absolute(err)))
	}
	cfg, _ := config.ParsePool(file, data)
	if cfg.StatusPath == "" {
		return "", cli.Exit(cli.Config, fmt.Errorf("%s has no status-path under [observability]: the pool cannot be asked", file))
	}
	return cfg.StatusPath, nil
}

func readPool(path string) ([]byte, error) {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	conn, err := net.DialTimeout("unix", path, readTimeout)
	if err != nil {
		return nil, fmt.Errorf("nts-pool-ke does not answer at %s: %w (does it run, with this status-path?)", path, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(readTimeout)); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(conn, longestPoolStatus))
	if err == nil && len(text) == 0 {
		err = errors.New("nothing was said: too many ask at once")
	}
	if err != nil {
		return nil, fmt.Errorf("status socket %s: %w", path, err)
	}
	return text, nil
}

// writePool is for people.
func writePool(w io.Writer, s *pool.Status) error {
	p := &printer{w: w}
	p.printf("nts-pool-ke %s, up %v, configuration of %s\n", s.Version, s.Now.Sub(s.Started).Round(time.Second), s.Settings.Read.Format(time.DateTime))
	if s.Settings.Error != "" {
		p.printf("the files hold another configuration, which is not in effect: %s\n", oneLine(s.Settings.Error))
	}
	if s.Settings.DiscoveryError != "" {
		p.printf("the list of sources in DNS cannot be used: %s\n", oneLine(s.Settings.DiscoveryError))
	}
	p.printf("certificate until %s\n", s.Settings.CertificateNotAfter.Format(time.DateTime))
	p.printf("%d of %d clients connected;", s.Connected, s.Connections)
	for _, o := range pool.Outcomes() {
		if n := s.Outcomes[o.String()]; n > 0 || o == pool.Served {
			p.printf(" %d %v", n, o)
		}
	}
	u := s.Upstream
	p.printf("\n%d exchanges with sources, %d failed; %d connections, %d kept ones used again\n\n", u.Exchanges, u.ExchangesFailed, u.Connections, u.Reused)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SOURCE\tFAMILY\tSTATE\tWEIGHT\tQUALITY\tTRIP\tDIALECT\tSERVED\tFAILED\tNOTE")
	for _, source := range s.Sources {
		for _, f := range source.Families {
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%.0f%%\t%.1fms\t%s\t%d\t%d\t%s\n", source.Source, f.Family, f.State, source.Weight,
				100*f.Quality, f.RoundTripMS, cmp.Or(f.Dialect, "-"), f.Served, f.Failed, oneLine(f.Reason))
		}
	}
	return errors.Join(p.err, table.Flush())
}

// printer keeps the first error of several writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format, args...); p.err == nil {
		p.err = err
	}
}

// oneLine keeps what a source said from moving the cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
