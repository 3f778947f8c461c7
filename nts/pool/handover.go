package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/ntpd-go/ntpd-go/nts"
)

// errSpent is an attempt to give the keys of a client to a second source.
var errSpent = errors.New("the client's keys were already given to a time source")

// handover is the right to give the keys of one client's connection to one
// time source. It can be used once; nothing else in this package takes keys
// out of a connection or sends a Fixed Key Request.
type handover struct {
	export nts.Exporter
	spent  bool
}

// commit takes the keys and binds them to a source, for good. A second call
// fails, for the same source too.
func (h *handover) commit(to *member, algorithm nts.SupportedAlgorithm) (*commitment, error) {
	if h.spent {
		return nil, errSpent
	}
	h.spent = true
	c2s, s2c, err := nts.ExportKeys(h.export, nts.NTPv4, algorithm.ID, int(algorithm.KeyLen))
	if err != nil {
		return nil, err
	}
	return &commitment{to: to, algorithm: algorithm, c2s: c2s, s2c: s2c}, nil
}

// commitment is the keys of one client, bound to the source that may see them.
type commitment struct {
	to        *member
	algorithm nts.SupportedAlgorithm
	c2s, s2c  nts.Secret
}

// send asks the source for cookies with the keys. It refuses a connection to
// any other source, so that a mistake elsewhere cannot give the keys away.
func (c *commitment) send(ctx context.Context, conn *upstreamConn) (nts.Established, error) {
	if conn.leg.member != c.to {
		return nts.Established{}, errSpent
	}
	request, err := nts.AppendRequest(nil, nts.FixedKey{
		Dialect: conn.dialect, Token: c.to.source.Token, KeepAlive: conn.dialect != nts.ClientCertificate,
		Protocol: nts.NTPv4, Algorithm: c.algorithm.ID, C2S: c.c2s, S2C: c.s2c,
	})
	if err != nil {
		return nts.Established{}, err
	}
	defer clear(request)
	answer, err := conn.ke.RoundTrip(ctx, request)
	if err != nil {
		return nts.Established{}, err
	}
	resp, err := conn.ke.Decode(answer, nts.DecodeResponse)
	if err != nil {
		return nts.Established{}, err
	}
	est, ok := resp.(nts.Established)
	if !ok {
		return nts.Established{}, fmt.Errorf("%v no longer supports %v", c.to.source, c.algorithm.ID)
	}
	if est.Protocol != nts.NTPv4 || est.Algorithm != c.algorithm.ID {
		return nts.Established{}, fmt.Errorf("%v answered for %v with %v, asked for %v with %v",
			c.to.source, est.Protocol, est.Algorithm, nts.NTPv4, c.algorithm.ID)
	}
	return est, nil
}

// discard overwrites the keys.
func (c *commitment) discard() {
	c.c2s.Clear()
	c.s2c.Clear()
}
