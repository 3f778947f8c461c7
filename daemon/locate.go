package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/nts/lookup"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// systemResolvers are the resolvers of this machine whose word about DNSSEC
// counts. They are read anew for each look-up, as they change with the network.
func systemResolvers() (lookup.Resolvers, error) { return lookup.Trusted(lookup.SystemFile) }

// locator looks up SRV records for the engine. What is not secure does not
// reach it.
func locator(resolvers func() (lookup.Resolvers, error)) func(context.Context, engine.Locate) engine.Located {
	return func(ctx context.Context, a engine.Locate) engine.Located {
		found, err := locate(ctx, resolvers, a)
		if err != nil {
			return engine.Located{Request: a.Request, Failure: locateFailure(err)}
		}
		return engine.Located{Request: a.Request, Records: found.Records, TTL: found.TTL}
	}
}

func locate(ctx context.Context, resolvers func() (lookup.Resolvers, error), a engine.Locate) (lookup.Answer, error) {
	if a.Route.Proxy != "" {
		return lookup.Answer{}, fmt.Errorf("%w: look-up of SRV records of %q through the proxy %s", netio.ErrNotSupported, a.Domain, a.Route.Proxy)
	}
	r, err := resolvers()
	if err != nil {
		return lookup.Answer{}, fmt.Errorf("find a resolver for the SRV records of %q: %w", a.Domain, err)
	}
	found, err := r.Find(ctx, a.Domain)
	if err == nil && !found.Secure {
		err = fmt.Errorf("look up SRV records of %q: %w", a.Domain, lookup.ErrInsecure)
	}
	return found, err
}

func locateFailure(err error) engine.Failure {
	f := engine.Failure{Class: engine.ClassDNS, Text: err.Error()}
	switch {
	case errors.Is(err, lookup.ErrInsecure), errors.Is(err, lookup.ErrNobodyTrusted):
		f.Class = engine.ClassInsecureDNS
	case errors.Is(err, netio.ErrNotSupported):
		f.Class = engine.ClassNotSupported
	}
	return f
}
