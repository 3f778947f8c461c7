package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/control"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

type clientsFlags struct {
	json, schema bool
	top          int
	screenFlags
}

func clientsCommand(f *flags) *cobra.Command {
	cf := &clientsFlags{}
	cmd := &cobra.Command{
		Use:   "clients",
		Short: "Show who asks the NTP server, the most frequent first",
		Long: `Show who asked the NTP server in the last day, the most frequent first: how many requests, how often, with NTS, over the
rate limit or refused, and when last. The daemon remembers a limited number of clients in memory: who asks often stays.

Addresses of the Internet are remembered by their network (IPv4 /24, IPv6 /48) unless client-list in [observability] is
"address"; those of private networks always are as they are. Source addresses can be forged.`,
		Example: "  ntp-ctl clients\n  ntp-ctl clients --top 0 --json",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return showClients(cmd, f, cf) },
	}
	fs := cmd.Flags()
	fs.BoolVar(&cf.json, "json", false, "print JSON (see --schema)")
	fs.BoolVar(&cf.schema, "schema", false, "print the JSON schema of --json")
	fs.IntVar(&cf.top, "top", 20, "how many to show; 0 for all that are remembered")
	screenOptions(cmd, &cf.screenFlags)
	return cmd
}

func showClients(cmd *cobra.Command, f *flags, cf *clientsFlags) error {
	out := cmd.OutOrStdout()
	if cf.schema {
		_, err := out.Write(observe.ClientsDocument)
		return err
	}
	if cf.top < 0 {
		return cli.Exit(cli.Usage, fmt.Errorf("--top %d: give a number of clients, or 0 for all", cf.top))
	}
	a, err := command(f, control.Request{Verb: control.Clients, Top: cf.top})
	if err != nil {
		return err
	}
	list := &observe.ClientList{}
	if err := json.Unmarshal(a.Data, list); err != nil {
		return cli.Exit(cli.Failure, fmt.Errorf("the answer is not understood: %w", err))
	}
	if cf.json {
		return writeJSON(out, list)
	}
	return writeClients(out, newScreen(out, os.Getenv, &cf.screenFlags), list)
}

// writeClients prints a row for each client, and how many there are.
func writeClients(w io.Writer, sc screen, list *observe.ClientList) error {
	b := &strings.Builder{}
	if len(list.Clients) == 0 {
		sc.paragraph(b, "", "Nobody has asked in the last day.")
		_, err := io.WriteString(w, b.String())
		return err
	}
	sc.clients(b, list.Clients)
	fmt.Fprintln(b)
	text := fmt.Sprintf("About %d different clients asked in the last hour.", list.LastHour)
	if list.LastHour == 1 {
		text = "One client asked in the last hour."
	}
	if more := list.Remembered - len(list.Clients); more > 0 {
		text += fmt.Sprintf(" %d more are remembered: --top 0 shows all.", more)
	}
	sc.paragraph(b, "", text)
	_, err := io.WriteString(w, b.String())
	return err
}

func (sc screen) clients(w io.Writer, all []observe.Client) {
	client, requests := &column{title: "CLIENT", least: 15}, &column{title: "REQUESTS", right: true}
	every, nts := &column{title: "EVERY", right: true, drop: 2}, &column{title: "NTS", right: true, drop: 4}
	limited, denied := &column{title: "LIMITED", right: true, drop: 5}, &column{title: "DENIED", right: true, drop: 3}
	last, known := &column{title: "LAST", right: true}, &column{title: "KNOWN FOR", right: true, drop: 1}
	atLeast := false
	for i := range all {
		c := &all[i]
		n := fmt.Sprint(c.Requests)
		if c.Missed > 0 {
			n += "+"
			atLeast = true
		}
		client.cells, requests.cells = append(client.cells, c.Client), append(requests.cells, n)
		every.cells = append(every.cells, or(c.Interval, apart))
		nts.cells, limited.cells = append(nts.cells, some(c.NTS)), append(limited.cells, some(c.Limited))
		denied.cells, last.cells = append(denied.cells, some(c.Denied)), append(last.cells, observe.Rough(c.Age)+" ago")
		known.cells = append(known.cells, observe.Rough(c.KnownFor))
	}
	sc.grid(w, []*column{client, requests, every, nts, limited, denied, last, known}, nil)
	if atLeast {
		for _, l := range wrap("+ at least: it may have asked before it was remembered", sc.width) {
			fmt.Fprintln(w, sc.paint(dim, l))
		}
	}
}

// apart prints a time between requests, which may be short.
func apart(v float64) string {
	if v < 10 {
		return observe.Magnitude(v)
	}
	return observe.Rough(v)
}

// some is a count, or a dash for none.
func some(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
