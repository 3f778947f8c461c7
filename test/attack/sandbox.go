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
	{ID: "T85", Limit: 15 * time.Minute, What: "again, behind the system call filters of the units", Prove: behindFilter},
}

// again are the rows that run behind the filters: each kind of socket, file and signal that the daemon knows is in them.
// The others differ in what is sent. Those of the pool are all of them.
var again = []string{"T01", "T03", "T06", "T11", "T15", "T18", "T20", "T23", "T26", "T28", "T32", "T35", "T38", "T49", "T57", "T77", "T80"}

// confined are the commands that rows start, each behind the system call filter of its unit.
func confined(t *scene.Trial) map[string][]string {
	behind := map[string][]string{}
	for _, command := range []string{"ntp-daemon", "nts-pool-ke"} {
		wrapper, err := lab.Filtered(t.Dir, filepath.Join(t.Root, "deploy/systemd", command+".service"))
		if err != nil {
			t.Skip("%v", err)
		}
		behind[command] = wrapper
	}
	return behind
}

// behindFilter needs the programs of the lab outside the filters, and the daemons within.
func behindFilter(t *scene.Trial) {
	behind := confined(t)
	h := t.Host("host")
	forbidden := []string{"unshare", "--mount", "true"}
	if _, err := h.Output(lab.Program{Args: forbidden}); err != nil {
		t.Fatal("without a filter: %v", err)
	}
	for command, wrapper := range behind {
		out, err := h.Output(lab.Program{Args: append(slices.Clone(wrapper), forbidden...)})
		if err == nil || !strings.Contains(out+err.Error(), "not permitted") {
			t.Fatal("the filter of %s lets a program have a mount namespace: %v %s", command, err, out)
		}
	}
	t.Control("a program behind either filter may not make a namespace")
	// Nor has the pool a capability: its unit leaves it none.
	behind["nts-pool-ke"] = slices.Concat([]string{"setpriv", "--bounding-set=-all", "--inh-caps=-all"}, behind["nts-pool-ke"])
	chosen := slices.Clone(poolRows)
	for _, r := range slices.Concat(serverRows, clientRows, kissRows, exchangeRows, hostileRows, localRows, limitRows, storeRows, timeRows, networkRows,
		nameRows) {
		if slices.Contains(again, r.ID) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) != len(again)+len(poolRows) {
		t.Fatal("%d rows, want %d and those of the pool", len(chosen), len(again))
	}
	var names []string
	for _, r := range t.Within(behind, chosen) {
		if r.Outcome != scene.Passed {
			t.Fatal("%s %s: %s", r.ID, r.Outcome, r.Evidence)
		}
		names = append(names, r.ID)
	}
	slices.Sort(names)
	logs, err := filepath.Glob(filepath.Join(t.Dir, "T85", "T*", "*", "*.log"))
	t.Check(err)
	for _, file := range logs {
		if out, err := h.Output(lab.Program{Args: []string{"grep", "-il", "operation not permitted", file}}); err == nil {
			t.Fatal("a daemon met its filter: %s", out)
		}
	}
	t.Saw("%d rows with the same results, and no log of %d says that something is not permitted: %s", len(chosen), len(logs), strings.Join(names, ", "))
}
