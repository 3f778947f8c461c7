package main

import (
	"bytes"
	"fmt"
	"path"
	"slices"
)

// archive builds a cpio archive of the kind the kernel unpacks as its first file system ("newc": magic 070701, all fields
// as eight hexadecimal digits, everything padded to four bytes).
type archive struct {
	text  bytes.Buffer
	inode int
	dirs  []string
}

const (
	modeDir     = 0o040000
	modeFile    = 0o100000
	modeSymlink = 0o120000
)

// file adds a regular file and the directories above it.
func (a *archive) file(name string, perm int, content []byte) {
	a.parents(name)
	a.entry(name, modeFile|perm, content)
}

// link adds a symbolic link.
func (a *archive) link(name, target string) {
	a.parents(name)
	a.entry(name, modeSymlink|0o777, []byte(target))
}

// dir adds a directory and those above it, each once.
func (a *archive) dir(name string) {
	if name == "." || slices.Contains(a.dirs, name) {
		return
	}
	a.parents(name)
	a.dirs = append(a.dirs, name)
	a.entry(name, modeDir|0o755, nil)
}

func (a *archive) parents(name string) { a.dir(path.Dir(name)) }

func (a *archive) entry(name string, mode int, content []byte) {
	a.inode++
	fields := []int{a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0}
	a.text.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(&a.text, "%08X", f)
	}
	a.text.WriteString(name)
	a.text.WriteByte(0)
	a.pad()
	a.text.Write(content)
	a.pad()
}

func (a *archive) pad() {
	for a.text.Len()%4 != 0 {
		a.text.WriteByte(0)
	}
}

// bytes ends the archive and returns it.
func (a *archive) bytes() []byte {
	a.inode = -1 // the trailer has inode 0
	a.entry("TRAILER!!!", 0, nil)
	return a.text.Bytes()
}
