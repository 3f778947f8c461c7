package main

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

var sandboxRows = []scene.Row{
	{ID: "T85", Limit: 15 * time.Minute, What: "again, behind the system call filter of the unit", Prove: behindFilter},
}

// again are the rows that run behind the filter: each kind of socket, file and signal that the daemon knows is in them.
// The others differ in what is sent.
var again = []string{"T01", "T03", "T06", "T11", "T15", "T18", "T20", "T23", "T26", "T28", "T32", "T35", "T38", "T49", "T57", "T77", "T80"}

// behindFilter needs the programs of the lab outside the filter, and the daemons within.
func behindFilter(t *scene.Trial) {
	unit := filepath.Join(t.Root, "deploy/systemd/ntp-daemon.service")
	wrapper, err := lab.Filtered(t.Dir, unit)
	if err != nil {
		t.Skip("%v", err)
	}
	h := t.Host("host")
	forbidden := []string{"unshare", "--mount", "true"}
	if _, err := h.Output(lab.Program{Args: forbidden}); err != nil {
		t.Fatal("without a filter: %v", err)
	}
	out, err := h.Output(lab.Program{Args: append(slices.Clone(wrapper), forbidden...)})
	if err == nil || !strings.Contains(out+err.Error(), "not permitted") {
		t.Fatal("the filter lets a program have a mount namespace: %v %s", err, out)
	}
	t.Control("a program behind the filter may not make a namespace")
	var chosen []scene.Row
	for _, r := range slices.Concat(serverRows, clientRows, kissRows, exchangeRows, hostileRows, localRows, limitRows, storeRows, timeRows, networkRows,
		nameRows) {
		if slices.Contains(again, r.ID) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) != len(again) {
		t.Fatal("%d rows, want %d", len(chosen), len(again))
	}
	for _, r := range t.Within(wrapper, chosen) {
		if r.Outcome != scene.Passed {
			t.Fatal("%s %s: %s", r.ID, r.Outcome, r.Evidence)
		}
	}
	logs, err := filepath.Glob(filepath.Join(t.Dir, "T85", "T*", "*", "*.log"))
	t.Check(err)
	for _, file := range logs {
		if out, err := h.Output(lab.Program{Args: []string{"grep", "-il", "operation not permitted", file}}); err == nil {
			t.Fatal("a daemon met the filter: %s", out)
		}
	}
	t.Saw("%d rows with the same results, and no log of %d says that something is not permitted: %s", len(chosen), len(logs), strings.Join(again, ", "))
}
