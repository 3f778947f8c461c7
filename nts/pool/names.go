package pool

import (
	"context"
	"errors"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

const (
	// namesEvery is how often a source is asked for its names, and
	// namesAgain how soon after it did not answer.
	namesEvery = time.Hour
	namesAgain = time.Minute
)

// naming is a question for names that several requests may wait for.
type naming struct {
	done chan struct{} // closed when the names are learnt, or cannot be
}

// learnNames begins to ask the source for the names of its NTP servers, if it is
// time to, so that a client can deny them before the source has ever served
// one. It returns what ends with the answer, or nil if nobody asks.
func (l *leg) learnNames() *naming {
	m := l.member
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.naming != nil || time.Now().Before(m.namesNext) {
		return m.naming
	}
	n := &naming{done: make(chan struct{})}
	m.naming = n
	l.up.running.Go(func() {
		ctx, cancel := context.WithTimeout(l.up.life, askTimeout)
		defer cancel()
		names, err := l.askNames(ctx)
		for _, name := range names[:min(len(names), mostNames)] {
			m.learn(name)
		}
		m.mu.Lock()
		m.naming, m.namesNext = nil, time.Now().Add(roughly(namesEvery))
		if err != nil {
			m.namesNext = time.Now().Add(roughly(namesAgain))
		} else {
			m.named = true
		}
		m.mu.Unlock()
		close(n.done)
	})
	return n
}

// askNames asks for the names by the record for that. A source that does not
// know it is asked for time as any client asks: then it says where its NTP
// server is. What else it gives the pool then is thrown away.
func (l *leg) askNames(ctx context.Context) ([]string, error) {
	l.mu.Lock()
	d := l.known.dialect
	l.mu.Unlock()
	m := l.member
	if d != nts.ClientCertificate && m.tellsNames() {
		resp, err := l.question(ctx, d, nts.Names{Dialect: d, Token: m.source.Token, KeepAlive: true}, nts.DecodeNames)
		if names, ok := resp.(nts.ServerNames); ok && err == nil {
			return names.Names, nil
		}
		if !notThisDialect(err) {
			return nil, err
		}
		m.cannotTell()
	}
	got, err := l.up.client.Exchange(ctx, ke.ClientRequest{Host: m.source.Domain, Port: m.source.Port, Roots: l.up.roots()})
	if err != nil {
		return nil, err
	}
	got.C2S.Clear()
	got.S2C.Clear()
	return []string{got.Server}, nil
}

// errNameless is a source that has not said yet where its NTP servers are.
var errNameless = errors.New("the names of its NTP servers are not known yet")

// isDenied reports whether a client does not want this source, for which the
// names of its NTP servers must be known: if they are not, it waits for them. An
// error says that they are not known now either: it may be one that is denied.
func (l *leg) isDenied(ctx context.Context, who asker) (bool, error) {
	if len(who.deny) == 0 || l.member.isNamed() {
		return false, nil // it was asked before the draw
	}
	if n := l.learnNames(); n != nil {
		select {
		case <-n.done:
		case <-ctx.Done():
		}
	}
	switch {
	case l.member.deniedBy(who.deny):
		return true, nil
	case !l.member.isNamed():
		return false, errNameless
	default:
		return false, nil
	}
}
