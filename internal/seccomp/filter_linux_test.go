//go:build amd64 || arm64

package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// run is what a filter says of a call, as the kernel runs it.
func run(t *testing.T, program []unix.SockFilter, arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	data := make([]uint32, 16)
	data[0], data[1] = number, arch
	for i, a := range args {
		data[4+2*i], data[5+2*i] = uint32(a), uint32(a>>32)
	}
	var a uint32
	for pc := 0; pc < len(program); pc++ {
		switch in := program[pc]; in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[in.K/4]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == in.K {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %d is %+v", pc, in)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestAFilterAllowsItsRulesAlone(t *testing.T) {
	program, err := Program([]Rule{
		{Call: 1}, {Call: 2, Arg: 1, Among: []uint32{5, 6}}, {Call: 3, Arg: 2, Mask: 4, Among: []uint32{0}}, {Call: 7},
	}, unix.ENOSYS)
	if err != nil {
		t.Fatal(err)
	}
	const allowed, refused = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	for _, tt := range []struct {
		number uint32
		args   []uint64
		want   uint32
	}{
		{0, nil, refused}, {1, nil, allowed}, {1, []uint64{9, 9, 9}, allowed}, {4, nil, refused}, {7, nil, allowed}, {1<<30 | 1, nil, refused},
		{2, nil, refused}, {2, []uint64{5, 4}, refused}, {2, []uint64{0, 5}, allowed}, {2, []uint64{0, 6}, allowed}, {2, []uint64{0, 7}, refused},
		{2, []uint64{0, 9<<32 | 6}, allowed}, // the kernel takes the lower half alone
		{3, []uint64{4, 4, 3}, allowed}, {3, []uint64{0, 0, 4}, refused}, {3, []uint64{0, 0, 7}, refused}, {3, []uint64{4, 4, 8}, allowed},
	} {
		if got := run(t, program, auditArch, tt.number, tt.args...); got != tt.want {
			t.Errorf("call %d%v: %#x, want %#x", tt.number, tt.args, got, tt.want)
		}
	}
	if got := run(t, program, unix.AUDIT_ARCH_I386, 1); got != unix.SECCOMP_RET_KILL_PROCESS {
		t.Errorf("the call of another architecture: %#x", got)
	}
}

func TestAFilterHasBounds(t *testing.T) {
	if _, err := Program([]Rule{{Call: 1, Among: make([]uint32, 252)}}, unix.EPERM); err != nil {
		t.Error(err)
	}
	if _, err := Program([]Rule{{Call: 1, Among: make([]uint32, 253)}}, unix.EPERM); err == nil {
		t.Error("jumps that are too far")
	}
	if _, err := Program(make([]Rule, unix.BPF_MAXINSNS/2), unix.EPERM); err == nil {
		t.Error("a filter that is too long")
	}
}
