//go:build unix

package doctor

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAccessIsJudgedByOwnerGroupAndMode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	owner, group, other := int(st.Uid)+1, int(st.Gid), int(st.Gid)+1
	for _, c := range []struct {
		mode os.FileMode
		who  identity
		want access
		ok   bool
	}{
		{0o600, identity{uid: owner, gids: []int{group}}, mayRead, false},
		{0o640, identity{uid: owner, gids: []int{group}}, mayRead, true},
		{0o640, identity{uid: owner, gids: []int{group}}, mayWrite, false},
		{0o640, identity{uid: owner, gids: []int{other}}, mayRead, false},
		{0o604, identity{uid: owner, gids: []int{other}}, mayRead, true},
		{0o604, identity{uid: owner, gids: []int{group}}, mayRead, false}, // the group's bits come first
		{0o622, identity{uid: owner, gids: []int{other}}, mayWrite, true},
		{0o622, identity{uid: owner, gids: []int{other}}, mayWrite | mayEnter, false},
		{0o000, identity{uid: 0}, mayRead, true},
	} {
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if why := c.who.cannot(file, c.want); (why == "") != c.ok {
			t.Errorf("%04o for %+v: %q", c.mode, c.who, why)
		}
	}
	if why := (identity{uid: owner}).cannot(file+"x", mayRead); why != "does not exist" {
		t.Errorf("a file that is not there: %q", why)
	}
	if why := (identity{self: true}).cannot("/proc/version", mayRead); why != "" {
		t.Errorf("%q", why)
	}
	if os.Getuid() != 0 {
		if why := (identity{self: true}).cannot("/", mayWrite); why == "" {
			t.Error("anybody may write to /")
		}
	}
}
