package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestComplaints(t *testing.T) {
	log := "time=x level=INFO msg=fine\ntime=x level=WARN msg=\"socket taken\"\nERR broken\nthe word WARNING alone\n"
	if got := complaints(log); len(got) != 2 {
		t.Errorf("got %q", got)
	}
	if got := complaints(log, "socket taken"); len(got) != 1 || got[0] != "ERR broken" {
		t.Errorf("got %q", got)
	}
}

func TestInOrder(t *testing.T) {
	if err := inOrder("a b c", "a", "c"); err != nil {
		t.Error(err)
	}
	if inOrder("a b c", "c", "a") == nil || inOrder("a", "a", "a") == nil {
		t.Error("order does not matter")
	}
}

func TestPassedTests(t *testing.T) {
	log := "=== RUN   TestA\n    a_test.go:1: --- PASS: TestX (0.00s)\n--- PASS: TestA (0.01s)\n    --- PASS: TestA/inner (0.00s)\n" +
		"--- SKIP: TestB (0.00s)\n--- FAIL: TestC (0.00s)\n--- PASS: TestD (1.00s)\nPASS\n"
	if got := passedTests(log); !slices.Equal(got, []string{"TestA", "TestD"}) {
		t.Errorf("got %q", got)
	}
}

func TestShowsSources(t *testing.T) {
	var rows strings.Builder
	for _, a := range serverAddrs {
		rows.WriteString("*  pool  " + a.String() + ":123  selected\n")
	}
	good := "Synchronised: 4 sources.\n\n" + rows.String()
	if err := showsSources(good); err != nil {
		t.Error(err)
	}
	if showsSources("Not synchronised.\n"+rows.String()) == nil {
		t.Error("an unsynchronised status passes")
	}
	if showsSources(strings.Replace(good, "*  pool  10.88.0.14", "x  pool  10.88.0.14", 1)) == nil {
		t.Error("a falseticker passes")
	}
}

func TestArchiveUnpacks(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("needs cpio")
	}
	var a archive
	a.file("dir/sub/odd", 0o755, []byte("12345"))
	a.file("dir/empty", 0o644, nil)
	a.link("dir/link", "empty")
	cmd := exec.Command(cpio, "-idm", "--quiet")
	cmd.Dir = t.TempDir()
	cmd.Stdin = strings.NewReader(string(a.bytes()))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(cmd.Dir, "dir/sub/odd"))
	if err != nil || string(text) != "12345" {
		t.Errorf("got %q, %v", text, err)
	}
	if target, err := os.Readlink(filepath.Join(cmd.Dir, "dir/link")); err != nil || target != "empty" {
		t.Errorf("link to %q, %v", target, err)
	}
}

func TestArchiveHeader(t *testing.T) {
	var a archive
	a.file("ab", 0o644, []byte("xyz"))
	text := string(a.bytes())
	// name of 3 bytes with its zero: header of 110 and name make 113, padded to 116; 3 bytes of content, padded to 120
	if !strings.HasPrefix(text, "070701"+"00000001"+"000081A4") || text[110:116] != "ab\x00\x00\x00\x00" || text[116:120] != "xyz\x00" {
		t.Errorf("got %q", text)
	}
	if !strings.Contains(text, "TRAILER!!!\x00") || len(text)%4 != 0 {
		t.Error("no trailer, or not padded")
	}
}
