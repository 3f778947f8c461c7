package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Parse reads a file of scenarios and returns them sorted by name. Keys that
// it does not know are ignored and listed, unless they begin with an
// underscore: a world that lacks something is another world.
func Parse(b []byte) (all []*Scenario, ignored []string, err error) {
	var f struct {
		Scenarios map[string]json.RawMessage `json:"scenarios"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, nil, fmt.Errorf("scenario file: %w", err)
	}
	if len(f.Scenarios) == 0 {
		return nil, nil, errors.New(`scenario file: no "scenarios" in it`)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Scenarios)) {
		s := &Scenario{}
		if err := json.Unmarshal(f.Scenarios[name], s); err != nil {
			return nil, nil, fmt.Errorf("scenario %s: %w", name, err)
		}
		s.Name = name
		if err := s.check(); err != nil {
			return nil, nil, fmt.Errorf("scenario %s: %w", name, err)
		}
		var tree any
		if err := json.Unmarshal(f.Scenarios[name], &tree); err != nil {
			return nil, nil, fmt.Errorf("scenario %s: %w", name, err)
		}
		ignored = append(ignored, unknown(tree, reflect.TypeFor[Scenario](), name)...)
		all = append(all, s)
	}
	return all, ignored, nil
}

// unknown lists the keys of a tree that a type has no field for.
func unknown(tree any, t reflect.Type, place string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var found []string
	switch v := tree.(type) {
	case []any:
		if t.Kind() == reflect.Slice {
			for i, e := range v {
				found = append(found, unknown(e, t.Elem(), fmt.Sprintf("%s[%d]", place, i))...)
			}
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return nil
		}
		fields := map[string]reflect.Type{}
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			fields[name] = f.Type
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			switch ft, ok := fields[strings.ToLower(k)]; {
			case ok:
				found = append(found, unknown(v[k], ft, place+"."+k)...)
			case !strings.HasPrefix(k, "_"):
				found = append(found, place+"."+k)
			}
		}
	}
	return found
}

// SameWorld says whether two scenarios run alike: whether they differ only in
// name, words, limits and reference figures.
func SameWorld(a, b *Scenario) bool {
	bare := func(s *Scenario) string {
		c := *s
		c.Name, c.Doc, c.Limits, c.Seeds, c.Reference, c.OracleDrift = "", "", nil, nil, nil, 0
		out, err := json.Marshal(c)
		if err != nil {
			return s.Name + err.Error()
		}
		return string(out)
	}
	return bare(a) == bare(b)
}

func (s *Scenario) check() error {
	switch {
	case !(s.Duration > 0) || !(s.StatsFrom >= 0) || s.StatsFrom >= s.Duration:
		return fmt.Errorf("the statistics window %v to %v is empty", s.StatsFrom, s.Duration)
	case len(s.Poll) != 0 && (len(s.Poll) != 2 || s.Poll[0] > s.Poll[1] || s.Poll[0] < 0 || s.Poll[1] > 17):
		return fmt.Errorf("poll is %v, not two exponents from 0 to 17 in order", s.Poll)
	}
	if p := s.Peer; p != nil {
		if s.Toml == "" || p.Toml == "" {
			return errors.New("of two nodes each needs an ntp.toml")
		}
		if err := checkNode(&p.Clock, p.Servers, true); err != nil {
			return fmt.Errorf("peer: %w", err)
		}
	}
	if err := checkNode(&s.Clock, s.Servers, s.Peer != nil); err != nil {
		return err
	}
	for _, e := range s.Events {
		if !slices.Contains([]string{"step", "suspend", "leap"}, e.Kind) {
			return fmt.Errorf("unknown event %q", e.Kind)
		}
	}
	return nil
}

// checkNode checks a node's clock and the servers that it asks.
func checkNode(c *Clock, servers []Server, paired bool) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	for i := range servers {
		v := &servers[i]
		if v.Peer && !paired {
			return fmt.Errorf("server %d: there is no other node", i+1)
		}
		if v.Clock != nil {
			if err := v.Clock.check(); err != nil {
				return fmt.Errorf("clock of server %d: %w", i+1, err)
			}
		}
		for _, l := range []*Link{&v.Up, &v.Down} {
			if err := l.check(); err != nil {
				return fmt.Errorf("server %d: %w", i+1, err)
			}
		}
	}
	return nil
}

func (c *Clock) check() error {
	switch {
	case c.Sine != nil && !(c.Sine.Period > 0):
		return fmt.Errorf("a sine with the period %v", c.Sine.Period)
	case c.Pulse != nil && !(c.Pulse.High > 0 && c.Pulse.Low > 0):
		return fmt.Errorf("a pulse of %v and %v seconds", c.Pulse.High, c.Pulse.Low)
	}
	return nil
}

func (l *Link) check() error {
	j := &l.Jitter
	switch {
	case !slices.Contains([]string{"", "none", "exponential", "normal", "gamma", "lomax"}, j.Dist):
		return fmt.Errorf("unknown jitter %q", j.Dist)
	case j.Dist == "gamma" && !(j.Shape > 0), j.Dist == "lomax" && !(j.Alpha > 0):
		return fmt.Errorf("jitter %s without a shape above 0", j.Dist)
	case l.Congestion != nil && !(l.Congestion.Period > 0):
		return fmt.Errorf("congestion with the period %v", l.Congestion.Period)
	case l.Queue != nil && !(l.Queue.Memory > 0):
		return fmt.Errorf("a queue with the memory %v", l.Queue.Memory)
	}
	return nil
}
