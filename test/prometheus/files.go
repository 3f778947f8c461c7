package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// What is shipped, seen from the root of the project.
const (
	rulesFile     = "deploy/prometheus/ntpd-go.rules.yml"
	rulesTestFile = "deploy/prometheus/ntpd-go.rules.test.yml"
	configFile    = "deploy/prometheus/prometheus.yml"
	dashboardFile = "deploy/grafana/ntpd-go.json"
	guideFile     = "docs/troubleshooting.md"
)

// expression is one query of the rules or the dashboard.
type expression struct{ where, text string }

// rules returns the expressions of the alerts and the addresses of their
// explanations.
func rules(root string) (all []expression, links []string, err error) {
	data, err := os.ReadFile(root + rulesFile)
	if err != nil {
		return nil, nil, err
	}
	name := ""
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "- alert":
			name = value
		case "expr":
			all = append(all, expression{name, value})
		case "runbook_url":
			links = append(links, value)
		}
	}
	return all, links, nil
}

// dashboard returns the expressions of the panels, with Grafana's variables
// filled in.
func dashboard(root string) ([]expression, error) {
	data, err := os.ReadFile(root + dashboardFile)
	if err != nil {
		return nil, err
	}
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", dashboardFile, err)
	}
	variables := strings.NewReplacer("$job", ".+", "$instance", ".+", "$__rate_interval", "1m")
	var all []expression
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			all = append(all, expression{p.Title, variables.Replace(t.Expr)})
		}
	}
	return all, nil
}

var metricName = regexp.MustCompile(`\bntp_[a-z0-9_]+`)

// metrics are the names in an expression.
func (e expression) metrics() []string {
	names := metricName.FindAllString(e.text, -1)
	slices.Sort(names)
	return slices.Compact(names)
}
