package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

const (
	lookupTimeout   = 10 * time.Second
	exchangeTimeout = 15 * time.Second // TCP, TLS and the NTS key exchange
)

// perform carries out one action. What it answers is queued behind the
// actions that are still to be done.
func (l *loop) perform(ctx context.Context, a engine.Action) error {
	switch a := a.(type) {
	case engine.Send:
		l.send(a)
	case engine.Abandon:
		if x, ok := l.exchanges[a.Exchange]; ok {
			x.Close()
			delete(l.exchanges, a.Exchange)
		}
	case engine.Lookup:
		go l.resolve(ctx, a)
	case engine.Locate:
		go l.locateKeyServers(ctx, a)
	case engine.ExchangeKeys:
		go l.exchangeKeys(ctx, a)
	case engine.Steer:
		l.steer(a)
	case engine.SetClockStatus:
		if err := l.clock.SetStatus(a.Status); err != nil {
			l.log.Warn("could not set the clock's status", "code", "clock-status", "error", err)
		}
	case engine.PublishSnapshot:
		l.publish(a.Snapshot)
	case engine.Save:
		if err := l.save(a.State); err != nil {
			text := "could not save the clock's state"
			if a.State.Panicked {
				text += "; a start before the next boot will not know that the daemon stopped at a limit on steps, and give the sources the room of a first correction"
			}
			l.log.Warn(text, "code", "state-not-saved", "error", err)
		}
	case engine.Keep:
		if l.keep != nil {
			l.keep(a.Sessions)
		}
	case engine.Report:
		l.report(&a.Incident)
	case engine.Halt:
		return &halt{a}
	case engine.OpenReference, engine.CloseReference:
		// Sources of these modes are refused when the configuration is read.
	default:
		return fmt.Errorf("daemon: no way to perform %T", a)
	}
	return nil
}

// send opens the exchange's socket and sends its request.
func (l *loop) send(a engine.Send) {
	x, err := l.network.Dial(a.Exchange, a.To, a.Route)
	if err == nil {
		l.exchanges[a.Exchange] = x
		err = x.Send(a.Payload)
	}
	if err != nil {
		l.queue = append(l.queue, engine.SendFailed{Exchange: a.Exchange, Failure: netio.Failure(err)})
	}
}

func (l *loop) resolve(ctx context.Context, a engine.Lookup) {
	bounded, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	host := a.Host
	if a.Absolute {
		host = nts.Rooted(host)
	}
	addrs, err := l.lookup(bounded, host, a.Route)
	ev := engine.LookedUp{Request: a.Request, Addrs: addrs}
	if err != nil {
		ev.Failure = netio.Failure(err)
	}
	l.post(ctx, ev)
}

func (l *loop) locateKeyServers(ctx context.Context, a engine.Locate) {
	bounded, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	l.post(ctx, l.locate(bounded, a))
}

func (l *loop) exchangeKeys(ctx context.Context, a engine.ExchangeKeys) {
	bounded, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	l.post(ctx, l.exchange(bounded, a))
}

func (l *loop) steer(a engine.Steer) {
	if a.Adjustment.Slew != 0 {
		l.slewing(a.Adjustment.Frequency)
	}
	applied, err := l.clock.Apply(a.Adjustment)
	if err != nil {
		l.queue = append(l.queue, engine.SteerFailed{Steer: a.ID, Failure: engine.Failure{Class: engine.ClassOther, Text: err.Error()}})
		return
	}
	l.queue = append(l.queue, engine.SteerApplied{Steer: a.ID, Applied: applied})
}

// report writes an incident to the log.
func (l *loop) report(i *engine.Incident) {
	attrs := []slog.Attr{slog.String("code", i.Code)}
	if i.Name != "" {
		attrs = append(attrs, slog.String("source", i.Name))
	}
	if i.Source != 0 {
		attrs = append(attrs, slog.Uint64("source_id", uint64(i.Source)))
	}
	if i.Addr.IsValid() {
		attrs = append(attrs, slog.String("addr", i.Addr.String()))
	}
	l.log.LogAttrs(context.Background(), level(i.Level), i.Text, attrs...)
}

func level(l engine.Level) slog.Level {
	switch l {
	case engine.Debug:
		return slog.LevelDebug
	case engine.Info:
		return slog.LevelInfo
	case engine.Warn:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}
