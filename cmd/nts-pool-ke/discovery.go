package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/pool"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

const (
	discoveryAgain = 30 * time.Second // after a failure

	// A list that lacks more than mostLost of a hundred of the servers of
	// before is taken for a mistake, until it has come surely times in a row.
	mostLost = 40
	surely   = 3
)

// findings are the sources that DNS lists, by domain.
type findings struct {
	records map[string][]srv.Record
	doubted map[string]int // how often in a row a list has lacked too many
}

// lookup asks for all domains. It returns when to ask again, and what failed;
// what was found before stays then.
func (f *findings) lookup(ctx context.Context, s *settings) (again time.Duration, err error) {
	if f.records == nil {
		f.records, f.doubted = make(map[string][]srv.Record), make(map[string]int)
	}
	again = pool.DiscoverAtMost
	for _, domain := range s.cfg.DiscoveryDomains {
		records, good, e := pool.Discover(ctx, s.cfg.DiscoveryResolver, domain)
		if e == nil {
			e = f.take(domain, records)
		}
		if e != nil {
			err, good = e, discoveryAgain
		}
		again = min(again, good)
	}
	for domain := range f.records {
		if !slices.Contains(s.cfg.DiscoveryDomains, domain) {
			delete(f.records, domain)
		}
	}
	return again, err
}

// take takes over a list, unless too many are missing from it.
func (f *findings) take(domain string, records []srv.Record) error {
	before := f.records[domain]
	lost := 0
	for _, r := range before {
		if !slices.ContainsFunc(records, func(n srv.Record) bool { return n.Target == r.Target && n.Port == r.Port }) {
			lost++
		}
	}
	if lost > 1 && 100*lost > mostLost*len(before) {
		if f.doubted[domain]++; f.doubted[domain] < surely {
			return fmt.Errorf("%d of the %d servers of %s are gone from DNS; the list of before is kept until that has been so %d times", lost, len(before), domain, surely)
		}
	}
	f.doubted[domain] = 0
	f.records[domain] = records
	return nil
}

// sources are all that were found, each with its token.
func (f *findings) sources(s *settings) (list []pool.Source) {
	token := func(domain string, port uint16) nts.Secret {
		if s.secret == nil {
			return nil
		}
		return pool.MemberToken(s.secret, domain, port)
	}
	for _, domain := range s.cfg.DiscoveryDomains {
		if records := f.records[domain]; len(records) > 0 {
			list = append(list, pool.SourcesOf(records, token)...)
		}
	}
	return list
}

// discover asks for the lists again and again, until ctx ends.
func (r *running) discover(ctx context.Context, again time.Duration) {
	for {
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-r.domains: // they have changed
			timer.Stop()
		case <-timer.C:
		}
		again = r.discoverOnce(ctx)
	}
}

// discoverOnce asks for the lists and takes over what is found.
func (r *running) discoverOnce(ctx context.Context) (again time.Duration) {
	s := r.current.Load()
	if len(s.cfg.DiscoveryDomains) == 0 && len(r.found.records) == 0 {
		return pool.DiscoverAtMost
	}
	again, err := r.found.lookup(ctx, s)
	r.mu.Lock()
	first := err != nil && r.discovery == nil
	if r.discovery = err; err == nil {
		r.discovered = time.Now()
	}
	r.listed = r.found.sources(s)
	r.mu.Unlock()
	if first {
		r.log.Warn("the list of time sources in DNS cannot be used; the one of before is kept", "code", "pool-discovery", "error", err)
	}
	if err := r.setSources(); err != nil {
		r.log.Error("kept the time sources of before", "code", "pool-discovery", "error", err)
	}
	return again
}
