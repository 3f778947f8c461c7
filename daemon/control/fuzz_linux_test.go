package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// What an input of FuzzCommands chooses besides what is said.
const (
	refuses  byte = 1 << iota
	noAnswer      // what the handler answers cannot be written
)

// FuzzCommands is the server of the control socket, with somebody who has
// reached it and says what they like. They get one answer, a line of JSON that
// ntp-ctl understands; what is not one whole line of a known version within the
// bound is never carried out, and what is is carried out once.
func FuzzCommands(f *testing.F) {
	for _, in := range []string{
		"", "\n", "{}\n", "reload\n", "[]\n", "null\n", `{"schema":1,"verb":"reload"}`, `{"schema":2,"verb":"reload"}` + "\n",
		`{"schema":1,"verb":"reload"}` + "\n", `{"schema":1,"verb":"reload"}` + "\n" + `{"schema":1,"verb":"accept-step"}` + "\n",
		`{"schema":1,"verb":"source-add","config":"mode = \"server\"\naddress = \"a.test\""}` + "\n",
		`{"SCHEMA":1,"Verb":"x","verb":"history","since":1e308}` + "\n", `{"schema":1,"verb":"clients","top":-1}` + "\n",
		`{"schema":1.5,"verb":"reload"}` + "\n", `{"schema":1,"verb":["reload"]}` + "\n", `{"schema":1,"verb":"` + "\xff\x00\x1b[2J" + `\u001b\ud800"}` + "\n",
		`{"schema":1,"verb":"` + strings.Repeat("x", MaxRequest-23) + "\"}\n", `{"schema":1,"verb":"` + strings.Repeat("x", MaxRequest-22) + "\"}\n",
		`{"schema":1,"verb":"` + strings.Repeat("x", MaxRequest) + "\"}\n",
		strings.Repeat("[", MaxRequest-1) + "\n",
	} {
		for how := range byte(4) {
			f.Add([]byte(in), how)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, how byte) {
		in = in[:min(len(in), 2*MaxRequest)] // what the socket holds
		var did []Request
		out := converse(t, in, func(_ context.Context, r Request) Answer {
			did = append(did, r)
			switch {
			case how&refuses != 0:
				return Refused(r.Source, string(r.Verb))
			case how&noAnswer != 0:
				return Did().With(func() {})
			default:
				return Did(string(r.Verb)).With(r)
			}
		})
		a, err := exchange(&half{in: strings.NewReader(string(out))}, Request{})
		if err != nil || bytes.Count(out, []byte("\n")) != 1 || out[len(out)-1] != '\n' || a.Schema != Schema {
			t.Fatalf("answered %q: %v", out, err)
		}
		want, whole := understood(in)
		switch {
		case !whole && (len(did) != 0 || a.Done || len(a.Text) != 1 || a.Text[0] == ""):
			t.Fatalf("%q was carried out %d times and answered with %q", in, len(did), out)
		case whole && (len(did) != 1 || did[0] != want || a.Done != (how == how&^(refuses|noAnswer))):
			t.Fatalf("%q was carried out as %+v and answered with %q", in, did, out)
		}
	})
}

// understood is the request that the octets make, if they make one.
func understood(in []byte) (q Request, ok bool) {
	line, _, ended := bytes.Cut(in, []byte("\n"))
	ok = ended && len(line) < MaxRequest && json.Unmarshal(line, &q) == nil && q.Schema == Schema
	return q, ok
}

// converse says something to a server and no more, and gives all that it
// answers.
func converse(t *testing.T, in []byte, handle Handler) []byte {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := conn(t, fds[0]), conn(t, fds[1])
	defer near.Close()
	if _, err := near.Write(in); err != nil {
		t.Fatal(err)
	}
	if err := near.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	serve(context.Background(), far, slog.New(slog.DiscardHandler), handle)
	far.Close()
	out, err := io.ReadAll(near)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) { // it did not read all
		t.Fatal(err)
	}
	return out
}

func conn(t *testing.T, fd int) net.Conn {
	t.Helper()
	file := os.NewFile(uintptr(fd), "socketpair")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
