package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

const root = "../../"

func TestAlertsAndPanelsUseMetricsThatExist(t *testing.T) {
	alerts, links, err := rules(root)
	if err != nil {
		t.Fatal(err)
	}
	panels, err := dashboard(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(alerts) < 10 || len(alerts) != len(links) || len(panels) < 20 {
		t.Errorf("%d alerts, %d links, %d queries of panels", len(alerts), len(links), len(panels))
	}
	known := observe.Names()
	for _, e := range append(alerts, panels...) {
		for _, name := range e.metrics() {
			if !slices.Contains(known, name) {
				t.Errorf("%s: no metric %s", e.where, name)
			}
		}
		if len(e.metrics()) == 0 && !strings.HasPrefix(e.text, "up{") {
			t.Errorf("%s: no metric in %s", e.where, e.text)
		}
		if strings.Contains(e.text, "$") {
			t.Errorf("%s: unknown variable in %s", e.where, e.text)
		}
	}
}

// Every alert is tested, raised and not raised.
func TestEveryAlertIsTested(t *testing.T) {
	alerts, _, err := rules(root)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(root + rulesTestFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		if !strings.Contains(string(tests), "  - name: "+a.where+"\n") || !strings.Contains(string(tests), "alertname: "+a.where+", exp_alerts: []") {
			t.Errorf("%s is not tested", a.where)
		}
	}
}

var anchorText = regexp.MustCompile(`[^a-z0-9 -]`)

// Every alert links to an explanation that is there.
func TestRunbooksAreThere(t *testing.T) {
	_, links, err := rules(root)
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(root + guideFile)
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for line := range strings.Lines(string(guide)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			anchors[strings.ReplaceAll(anchorText.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")] = true
		}
	}
	for _, link := range links {
		file, anchor, _ := strings.Cut(link, "#")
		if !strings.HasSuffix(file, "/"+guideFile) || !anchors[anchor] {
			t.Errorf("%s leads nowhere", link)
		}
	}
}
