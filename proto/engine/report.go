package engine

// report writes an incident.
func (e *Engine) report(i Incident) { e.emit(Report{Incident: i}) }

// reportSource writes an incident about a live source.
func (e *Engine) reportSource(s *source, l *live, i Incident) {
	i.Name, i.Source, i.Addr = s.cfg.Name, l.id, l.addr
	e.report(i)
}

// reportFailure writes that something failed for a source: a warning the
// first time and whenever it fails in another way, else only for debugging.
func (e *Engine) reportFailure(s *source, code string, before, f Failure) {
	level := Warn
	if before == f {
		level = Debug
	}
	e.report(Incident{Level: level, Code: code, Name: s.cfg.Name, Reason: Reason(f.Class), Text: f.Text})
}
