package doctor

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"
)

// access is what a user wants of a file, in the bits of a mode.
type access uint32

const (
	mayEnter access = 1
	mayWrite access = 2
	mayRead  access = 4
)

// What keeps files from being written besides permissions.
const (
	readOnly = "lies on a read-only file system"
	full     = "lies on a file system that is full"
)

// identity is whom files must be accessible for.
type identity struct {
	name string
	uid  int
	gids []int
	self bool // that is who we are: the kernel itself can be asked
}

// identity finds out who the daemon is: the user who is named, else that of
// the running daemon, else this one.
func (e *exam) identity() identity {
	uid, gids := os.Geteuid(), []int{os.Getegid()}
	if extra, err := os.Getgroups(); err == nil {
		gids = append(gids, extra...)
	}
	self := true
	switch p := e.machine.daemon(e.machine.ours); {
	case e.User != "":
		if u, err := user.Lookup(e.User); err == nil {
			uid, _ = strconv.Atoi(u.Uid)
			gids = groupsOf(u)
			self = uid == os.Geteuid()
		} else {
			e.fail("user", e.User, "there is no such user", "the user that runs the daemon", "name another with --user")
		}
	case p != nil && p.uid != uid:
		uid, gids, self = p.uid, p.gids, false
	}
	return identity{name: userName(uid), uid: uid, gids: gids, self: self}
}

func groupsOf(u *user.User) []int {
	var out []int
	ids, err := u.GroupIds()
	if err != nil {
		ids = []string{u.Gid}
	}
	for _, g := range ids {
		if n, err := strconv.Atoi(g); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return "user " + u.Username
	}
	return "user " + strconv.Itoa(uid)
}

// cannot says why the identity cannot access a file, or nothing.
func (who identity) cannot(path string, want access) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case err != nil:
		return cause(err)
	}
	if who.self {
		return askKernel(path, want)
	}
	return who.byMode(info, want)
}
