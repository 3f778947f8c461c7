package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/nts/pool"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

type zoneFlags struct {
	name  string
	count int
	ttl   int
	all   bool
}

func zoneCommand(f *flags) *cobra.Command {
	z := &zoneFlags{}
	cmd := &cobra.Command{
		Use:   "srv-zone -c FILE --name DOMAIN",
		Short: "Print SRV records of a sample of the time sources, for a zone to be signed",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.read()
			if err != nil {
				return err
			}
			return z.print(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().StringVar(&z.name, "name", "", "domain of the pool")
	cmd.Flags().IntVar(&z.count, "count", 8, "how many sources to list: an answer should fit one packet")
	cmd.Flags().IntVar(&z.ttl, "ttl", 300, "time to live in seconds")
	cmd.Flags().BoolVar(&z.all, "all", false, "list all sources with their weights, for front ends that discover them")
	return cmd
}

// print writes the fragment. A sample is drawn by the weights and listed
// without them: clients that read weights wrongly, or not at all, spread
// themselves evenly over what they see.
func (z *zoneFlags) print(w io.Writer, s *settings) error {
	name := strings.TrimSuffix(z.name, ".")
	if name == "" || z.count < 1 || z.ttl < 0 {
		return cli.Exit(cli.Usage, errors.New("give the domain of the pool with --name, and a --count and --ttl that make sense"))
	}
	var sources []pool.Source
	left := 0
	for _, source := range s.sources {
		if _, err := netip.ParseAddr(source.Domain); err == nil {
			left++
			continue
		}
		sources = append(sources, source)
	}
	if left > 0 {
		fmt.Fprintf(os.Stderr, "nts-pool-ke: %d time sources are left out, because they are listed by address\n", left)
	}
	listed := sources
	if !z.all {
		listed = pool.Sample(sources, z.count, rand.Uint64N)
	}
	if len(listed) == 0 {
		return cli.Exit(cli.Failure, errors.New("there is no time source to list"))
	}
	fmt.Fprintf(w, "; %d of %d time sources\n", len(listed), len(s.sources))
	for _, source := range listed {
		priority, weight := 0, 0
		if z.all {
			weight = int(min(source.Weight, 65535))
			if weight == 0 {
				priority = 1 // watched, and given no client
			}
		}
		fmt.Fprintf(w, "%s.%s. %d IN SRV %d %d %d %s.\n", srv.Service, name, z.ttl, priority, weight, source.Port, strings.TrimSuffix(source.Domain, "."))
	}
	return nil
}

func tokenCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "member-token -c FILE DOMAIN PORT",
		Short: "Print the token of a discovered time source, for its operator",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.read()
			if err != nil {
				return err
			}
			port, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil || port == 0 {
				return cli.Exit(cli.Usage, fmt.Errorf("%q is not a port", args[1]))
			}
			if s.secret == nil {
				return cli.Exit(cli.Config, errors.New("there is no discovery-secret-file to make tokens of"))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", string(pool.MemberToken(s.secret, args[0], uint16(port))))
			return nil
		},
	}
}
