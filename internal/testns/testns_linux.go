package testns

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Namespaces that a test can have to itself.
const (
	Network = syscall.CLONE_NEWNET
	Mounts  = syscall.CLONE_NEWNS
)

// marked is set in the environment of a test that runs inside.
const marked = "NTPD_GO_TEST_NAMESPACE"

// Inside reports whether the test runs in namespaces of its own. Where it does
// not, it is run once more, in new ones: as the user uid with all rights there,
// if that is 0, and none outside. What becomes of it there becomes of it here,
// and it must return. The test is skipped where the system gives no namespaces.
func Inside(t *testing.T, namespaces uintptr, uid int) bool {
	t.Helper()
	if os.Getenv(marked) != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), marked+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | namespaces,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Skipf("no namespaces here: %v", err)
	}
	t.Logf("inside:\n%s", out)
	switch result := string(out); {
	case strings.Contains(result, "--- SKIP: "+t.Name()+" ("):
		t.Skip("skipped inside")
	case err != nil || !strings.Contains(result, "--- PASS: "+t.Name()+" ("):
		t.Errorf("inside: %v", err)
	}
	return false
}
