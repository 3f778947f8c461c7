package config

import (
	"fmt"
	"strings"
)

// A Mode is a kind of source.
type Mode uint8

// The modes of a [[source]].
const (
	ModeServer  Mode = iota + 1 // one NTP server
	ModePool                    // several servers behind one name
	ModeNTS                     // one server, authenticated
	ModeNTSPool                 // several authenticated servers behind one key exchange
	ModeSock                    // a socket that a receiver's driver writes to
	ModePPS                     // a pulse per second
	ModePHC                     // a PTP hardware clock
	ModeCSPTP                   // client-server PTP
)

var modeNames = [...]string{"", "server", "pool", "nts", "nts-pool", "sock", "pps", "phc", "csptp"}

// String gives the mode as it is written in the file.
func (m Mode) String() string {
	if int(m) < len(modeNames) && m != 0 {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// Keyed reports whether sources of a mode exchange keys.
func (m Mode) Keyed() bool { return m == ModeNTS || m == ModeNTSPool }

func modeNamed(s string) (Mode, bool) {
	for i, n := range modeNames {
		if n == s && i > 0 {
			return Mode(i), true
		}
	}
	return 0, false
}

// modeIn looks ahead for the mode of a source; zero when it has none that is known.
func modeIn(g *group) Mode {
	e := g.get("mode")
	if e == nil || e.value.kind != stringValue {
		return 0
	}
	m, _ := modeNamed(e.value.text)
	return m
}

// modeSet is a set of modes; zero stands for all of them.
type modeSet uint16

func setOf(modes ...Mode) modeSet {
	var s modeSet
	for _, m := range modes {
		s |= 1 << m
	}
	return s
}

// has reports whether a key with this set applies to a mode. Nothing is held against a source whose mode is not known.
func (s modeSet) has(m Mode) bool { return s == 0 || m == 0 || s&(1<<m) != 0 }

func (s modeSet) list() []Mode {
	var modes []Mode
	for m := ModeServer; m <= ModeCSPTP; m++ {
		if s&(1<<m) != 0 {
			modes = append(modes, m)
		}
	}
	return modes
}

// quotedModes names modes in a sentence.
func quotedModes(modes []Mode) string {
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = `"` + m.String() + `"`
	}
	return english(names, "and")
}

// english joins words with commas and, before the last, a conjunction.
func english(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}
