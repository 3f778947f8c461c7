package observe

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	maxConnections = 8
	writeTimeout   = 500 * time.Millisecond
	acceptPause    = 100 * time.Millisecond
)

// cause strips the layers of net errors that repeat the address.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// Serve answers connections with the state of that moment until the context
// ends: a length of eight octets, big-endian, and the JSON document.
func Serve(ctx context.Context, l net.Listener, state func() State) error {
	err := Accept(ctx, l, maxConnections, func(c net.Conn) { answer(c, state()) })
	if err != nil {
		return fmt.Errorf("observation socket: %w", err)
	}
	return nil
}

// Accept hands connections to a function, each in a goroutine, no more than
// limit at once, until the context ends and all of them have returned. The
// function closes the connection, and bounds how long it takes.
func Accept(ctx context.Context, l net.Listener, limit int, handle func(net.Conn)) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	slots := make(chan struct{}, limit)
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if temporary(err) {
				pause(ctx, acceptPause)
				continue
			}
			return cause(err)
		}
		slots <- struct{}{}
		connections.Go(func() {
			defer func() { <-slots }()
			handle(c)
		})
	}
}

// temporary reports errors of accept that pass: the peer went away, or the
// machine is short of something.
func temporary(err error) bool {
	for _, e := range []syscall.Errno{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func answer(c net.Conn, s State) {
	defer c.Close()
	body, err := json.Marshal(s)
	if err != nil {
		return // a State holds nothing that cannot be marshalled but NaN, which FromStatus does not make
	}
	_ = c.SetDeadline(time.Now().Add(writeTimeout))
	out := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(body)), uint64(len(body)))
	_, _ = c.Write(append(out, body...)) // the reader is gone; nothing is lost
}
