// Command reproducible builds the commands twice, in different directories
// and without any cache in common, and compares them octet by octet.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	passed, failed, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "reproducible:", err)
	}
	fmt.Printf("%d passed, %d failed, 0 skipped\n", passed, failed)
	if err != nil || failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func run(commands []string) (passed, failed int, err error) {
	dir, err := os.MkdirTemp("", "reproducible")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	one, err := build(filepath.Join(dir, "a"), commands)
	if err != nil {
		return 0, 0, err
	}
	other, err := build(filepath.Join(dir, "another", "and", "deeper"), commands)
	if err != nil {
		return 0, 0, err
	}
	for _, c := range commands {
		a, err := digest(filepath.Join(one, c))
		if err != nil {
			return passed, failed, err
		}
		b, err := digest(filepath.Join(other, c))
		if err != nil {
			return passed, failed, err
		}
		verdict := "the same twice"
		if a == b {
			passed++
		} else {
			failed++
			verdict = "differs: " + b
		}
		fmt.Printf("%-22s %s  %s\n", c, a, verdict)
	}
	return passed, failed, nil
}

// build builds the commit that is checked out, as make build does.
func build(dir string, commands []string) (bin string, err error) {
	tree, cache := filepath.Join(dir, "tree"), filepath.Join(dir, "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	if err := do("", nil, "git", "clone", "--quiet", "--no-hardlinks", ".", tree); err != nil {
		return "", err
	}
	return filepath.Join(tree, "bin"), do(tree, []string{"GOCACHE=" + cache}, "make", "build", "COMMANDS="+strings.Join(commands, " "))
}

func do(dir string, env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

func digest(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}
