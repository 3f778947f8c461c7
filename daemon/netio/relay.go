package netio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/neterr"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// relayTimeout bounds how long a proxy may take until it relays.
const relayTimeout = 5 * time.Second

// relay is what an exchange through a proxy has besides: every exchange has an
// association of its own with the proxy, and so a new port towards the server.
type relay struct {
	proxies *Proxies
	proxy   string
	control net.Conn // the association ends with it; nil before
}

// relayed opens an exchange through the proxy of a route.
func (c *Client) relayed(id engine.ExchangeID, to netip.AddrPort, route engine.Route) (*Exchange, error) {
	if c.Proxies == nil {
		return nil, fmt.Errorf("%w: NTP through the proxy %s", ErrNotSupported, route.Proxy)
	}
	return &Exchange{
		id: id, to: to, out: c.out,
		done: make(chan struct{}), idle: make(chan struct{}),
		relay: &relay{proxies: c.Proxies, proxy: route.Proxy},
	}, nil
}

// sendRelayed asks the proxy to relay, and sends. It runs beside the caller, who
// cannot wait for a proxy.
func (x *Exchange) sendRelayed(payload []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), relayTimeout)
	defer cancel()
	go func() {
		select {
		case <-x.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := x.viaProxy(ctx, payload)
	if err != nil {
		x.deliver(Result{Kind: Unsent, Err: fmt.Errorf("could not send to %s: %w", x.relay.proxies.host(x.to.Addr()), err)})
	}
}

func (x *Exchange) viaProxy(ctx context.Context, payload []byte) error {
	r := x.relay
	association, at, err := r.proxies.associate(ctx, r.proxy)
	if err != nil {
		close(x.idle)
		return err
	}
	datagram, err := appendRelayed(r.proxies.host(x.to.Addr()), x.to.Port(), payload)
	if err == nil {
		err = x.openRelay(ctx, association, at)
	}
	if err != nil {
		association.Close()
		close(x.idle)
		return err
	}
	go x.receive()
	x.mu.Lock()
	before := realtime()
	_, err = x.conn.Write(datagram)
	x.own = proto.Stamp{At: before, Source: proto.StampDaemon, Err: realtime().Sub(before).Abs()}
	x.mu.Unlock()
	if err != nil {
		return fmt.Errorf("proxy %s: %w", r.proxy, neterr.Cause(err))
	}
	go x.watchRelay()
	return x.conn.SetReadDeadline(time.Now().Add(stampWait))
}

// openRelay opens the socket to where the proxy relays, unless the exchange is
// over.
func (x *Exchange) openRelay(ctx context.Context, association net.Conn, at netip.AddrPort) error {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return prepare(fd, "") })
	}}
	conn, err := d.DialContext(ctx, "udp", at.String())
	if err != nil {
		return fmt.Errorf("proxy %s: could not open a socket to %v: %w", x.relay.proxy, at, neterr.Cause(err))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case <-x.done:
		conn.Close()
		return net.ErrClosed
	default:
	}
	x.conn, x.relay.control = conn.(*net.UDPConn), association
	return nil
}

// watchRelay reports that the proxy ended the association, because nothing will
// come any more. The next exchange makes one of its own.
func (x *Exchange) watchRelay() {
	_, err := io.Copy(io.Discard, x.relay.control)
	select {
	case <-x.done: // by us
	default:
		x.deliver(Result{Kind: Unsent, Err: fmt.Errorf("proxy %s: it ended the relay: %w", x.relay.proxy, errors.Join(err, io.EOF))})
	}
}

// closeRelay ends the association.
func (x *Exchange) closeRelay() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.relay.control != nil {
		_ = x.relay.control.Close()
		_ = x.conn.Close()
	}
}
