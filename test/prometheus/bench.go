package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/test/lab"
)

// install makes sure that Prometheus is there. Its service is not to be
// started: ours is run by hand.
func install(say lab.Say) error {
	if _, err := exec.LookPath("promtool"); err == nil {
		return nil
	}
	const policy = "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
			return err
		}
		defer os.Remove(policy)
	}
	return lab.NeedTools(say, "prometheus")
}

func promtool(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "promtool", args...).CombinedOutput()
	return string(out), err
}

// bench is a server, a client of it, its exporter and a Prometheus.
type bench struct {
	dir, bin string
	running  []*exec.Cmd
	logs     []string
	api      string
	exporter string
}

const serverConfig = `[observability]
observation-path = "server/observe"
[[server]]
listen = "127.0.0.1:%[1]s"
[synchronization]
local-stratum = 1
`

const clientConfig = `[observability]
observation-path = "client/observe"
metrics-exporter-listen = "127.0.0.1:%[2]s"
[[source]]
mode = "server"
address = "127.0.0.1:%[1]s"
[[source]]
mode = "nts"
address = "localhost:%[4]s"
[[server]]
listen = "127.0.0.1:%[3]s"
[synchronization]
minimum-agreeing-sources = 1
update-system-clock = false
`

const scrapeConfig = `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ %q ]
scrape_configs:
  - job_name: ntpd
    static_configs: [ { targets: [ "127.0.0.1:%s" ] } ]
`

func newBench(ctx context.Context, bin string) (*bench, error) {
	dir, err := os.MkdirTemp("", "ntpd-go-prometheus-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir}
	if b.bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	if err := b.start(ctx); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *bench) start(ctx context.Context) error {
	var ports [5]string
	for i, network := range []string{"udp", "tcp", "udp", "tcp", "tcp"} {
		port, err := freePort(network)
		if err != nil {
			return err
		}
		ports[i] = port
	}
	alerts, err := filepath.Abs(rulesFile)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"server.toml":    fmt.Sprintf(serverConfig, ports[0]),
		"client.toml":    fmt.Sprintf(clientConfig, ports[0], ports[1], ports[2], ports[3]),
		"prometheus.yml": fmt.Sprintf(scrapeConfig, alerts, ports[1]),
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	b.exporter, b.api = "http://127.0.0.1:"+ports[1]+"/metrics", "http://127.0.0.1:"+ports[4]
	for _, command := range [][]string{
		{filepath.Join(b.bin, "ntp-daemon"), "-c", "server.toml", "--no-clock"},
		{filepath.Join(b.bin, "ntp-daemon"), "-c", "client.toml"},
		{filepath.Join(b.bin, "ntp-metrics-exporter"), "-c", "client.toml"},
		{"prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:" + ports[4], "--log.level=warn"},
	} {
		if err := b.spawn(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) spawn(ctx context.Context, command []string) error {
	name := filepath.Join(b.dir, fmt.Sprintf("%d-%s.log", len(b.running), filepath.Base(command[0])))
	log, err := os.Create(name)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w (run make build first)", command[0], err)
	}
	b.running, b.logs = append(b.running, cmd), append(b.logs, name)
	return nil
}

func (b *bench) stop() {
	for _, cmd := range b.running {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
	}
	for _, cmd := range b.running {
		_ = cmd.Wait()
	}
	os.RemoveAll(b.dir)
}

// check waits until Prometheus has scraped a synchronised clock, and then asks
// for everything that is shipped.
func (b *bench) check(ctx context.Context, say lab.Say) error {
	if err := b.await(ctx, `ntp_system_synchronised == 1 and on (instance) ntp_system_state{state="synchronised"} == 1`); err != nil {
		return err
	}
	say("ok    a real Prometheus scrapes a synchronised clock")
	if err := b.lint(ctx); err != nil {
		return err
	}
	say("ok    promtool check metrics")
	missing, known := 0, observe.Names()
	for _, name := range known {
		n, err := b.query(ctx, name)
		if err != nil {
			return err
		}
		if n == 0 && !idle[name] {
			say("      no sample of %s", name)
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d metrics have no sample", missing, len(known))
	}
	say("ok    %d metrics, all with samples but %d that this set-up cannot have", len(known), len(idle))
	alerts, _, err := rules("")
	if err != nil {
		return err
	}
	panels, err := dashboard("")
	if err != nil {
		return err
	}
	for _, e := range append(alerts, panels...) {
		if _, err := b.query(ctx, e.text); err != nil {
			return fmt.Errorf("%s: %s: %w", e.where, e.text, err)
		}
	}
	say("ok    %d expressions of alerts and %d of the dashboard are understood", len(alerts), len(panels))
	return nil
}

// idle are metrics without a sample where no NTS is.
var idle = map[string]bool{
	"ntp_source_nts_cookies_available":                       true,
	"ntp_source_certificate_expiry_timestamp_seconds":        true,
	"ntp_nts_ke_server_certificate_expiry_timestamp_seconds": true,
	"ntp_nts_ke_server_outcomes_total":                       true,
	"ntp_nts_ke_server_process_restarts_total":               true,
}

// lint hands what is exported to promtool.
func (b *bench) lint(ctx context.Context) error {
	resp, err := http.Get(b.exporter)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	cmd := exec.CommandContext(ctx, "promtool", "check", "metrics")
	cmd.Stdin = resp.Body
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("promtool check metrics: %w\n%s", err, out)
	}
	return nil
}

// await waits until a query has a result.
func (b *bench) await(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := b.query(ctx, query)
		if err == nil && n > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%q never came true (%v)\n%s", query, err, b.tail())
		}
	}
}

// query asks Prometheus and returns how many samples there are.
func (b *bench) query(ctx context.Context, text string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.api+"/api/v1/query?query="+url.QueryEscape(text), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("%s: %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return 0, errors.New(answer.Error)
	}
	return len(answer.Data.Result), nil
}

// tail is what the programs logged last.
func (b *bench) tail() string {
	var all strings.Builder
	for _, name := range b.logs {
		text, _ := os.ReadFile(name) // for a person who looks for the cause
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&all, "%s:\n%s\n", filepath.Base(name), strings.Join(lines[max(len(lines)-10, 0):], "\n"))
	}
	return all.String()
}

func freePort(network string) (string, error) {
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer c.Close()
		_, port, err := net.SplitHostPort(c.LocalAddr().String())
		return port, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
