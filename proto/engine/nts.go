package engine

// ntsSpawner keeps one server alive that a key exchange names. New keys are
// fetched when the server stops answering, refuses the keys it gave, or the
// cookies run out. It never asks without keys: "NTP clients SHOULD NOT revert
// from NTS-protected to unprotected NTP with any server without explicit user
// action" (RFC 8915 section 8.7).
type ntsSpawner struct{ keyed }

func (ntsSpawner) work(e *Engine, s *source) {
	t := s.slots[0]
	if t.keying.work(e, s, t) {
		t.keying.exchange(e, s, nil)
	}
}

func (ntsSpawner) keysEstablished(e *Engine, s *source, ev KeysEstablished) {
	t := s.slots[0]
	if t.keying.request != 0 && t.keying.request == ev.Request {
		t.keying.established(e, s, t, ev)
	}
}
