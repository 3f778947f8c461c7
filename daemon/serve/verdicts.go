package serve

import "github.com/ntpd-go/ntpd-go/proto/server"

// Verdicts returns for each section, in the order of the configuration, how
// often requests came to which verdict, by the verdict's name. It may be
// called at any time.
func (s *Server) Verdicts() []map[string]uint64 {
	all := make([]map[string]uint64, len(s.sections))
	for i, sec := range s.sections {
		all[i] = map[string]uint64{}
		for _, v := range server.Verdicts() {
			var n uint64
			for j := range sec.counters {
				n += sec.counters[j].Verdict(v)
			}
			all[i][v.String()] = n
		}
	}
	return all
}
