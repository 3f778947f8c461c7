package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// Listen makes the socket. Its permissions keep everybody else out from the
// first instant.
func Listen(path string) (net.Listener, error) {
	return observe.ListenAs("control socket", "control-path", path, 0o600)
}

// A Handler carries out one request. It runs in a goroutine of its own, and
// must return when the context ends.
type Handler func(ctx context.Context, r Request) Answer

// Serve answers requests until the context ends. A client that sends too much,
// too little or nothing costs one of a few places for a short while, and
// nothing else.
func Serve(ctx context.Context, l net.Listener, log *slog.Logger, handle Handler) error {
	err := observe.Accept(ctx, l, maxConnections, func(c net.Conn) {
		defer c.Close()
		serve(ctx, c, log, handle)
	})
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

func serve(ctx context.Context, c net.Conn, log *slog.Logger, handle Handler) {
	if err := mayCommand(c); err != nil {
		log.Warn("a command was refused", "code", "command-refused", "error", err)
		reply(c, Refused(err.Error()))
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(readTimeout)) // shows in the next read
	r, err := read(c)
	if err != nil {
		reply(c, Refused(err.Error()))
		return
	}
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	reply(c, handle(bounded, r))
}

// read takes in one request.
func read(r io.Reader) (Request, error) {
	line, err := bufio.NewReader(io.LimitReader(r, MaxRequest+1)).ReadBytes('\n')
	var q Request
	switch {
	case len(line) > MaxRequest:
		return q, fmt.Errorf("the request is longer than %d octets", MaxRequest)
	case err != nil:
		return q, errors.New("the request is not a whole line")
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return q, fmt.Errorf("the request is not understood: %w", err)
	}
	if q.Schema != Schema {
		return q, fmt.Errorf("the request is of version %d and the daemon speaks %d: use the ntp-ctl of the same release", q.Schema, Schema)
	}
	return q, nil
}

func reply(c net.Conn, a Answer) {
	b, err := json.Marshal(a)
	if err != nil {
		return // an Answer holds nothing that cannot be marshalled
	}
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = c.Write(append(b, '\n')) // the client is gone; what it asked for is done
}
