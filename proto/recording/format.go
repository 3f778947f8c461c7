package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// Version is the version of the form.
const Version = 1

// Head is how a run began.
type Head struct {
	Version int          `json:"ntpd-go recording"`
	Program string       `json:"program"` // its release
	Config  string       `json:"ntp.toml"`
	Now     proto.Now    `json:"now"`
	Saved   engine.State `json:"saved"`
	Random  []byte       `json:"random,omitempty"` // drawn at the start
}

// Step is one call of the engine.
type Step struct {
	Now    proto.Now
	Event  engine.Event // nil where Advance was called
	Random []byte       // drawn from the source of randomness
	// Actions that came of it, one JSON object each, as Action makes it.
	Actions [][]byte
	// End is why the recording ended, and only that; empty in all other
	// steps.
	End string
}

// line is a step in the file.
type line struct {
	Now     *proto.Now        `json:"now,omitempty"`
	Event   json.RawMessage   `json:"event,omitempty"`
	Random  []byte            `json:"random,omitempty"`
	Actions []json.RawMessage `json:"actions,omitempty"`
	End     string            `json:"end,omitempty"`
}

// Action is an action as it stands in a recording: an object with its name as
// the only key. Payloads of requests must have been freed of secrets.
func Action(a engine.Action) ([]byte, error) { return named(a) }

func named(v any) ([]byte, error) {
	return json.Marshal(map[string]any{strings.TrimPrefix(fmt.Sprintf("%T", v), "engine."): v})
}

// established is KeysEstablished with its keys and cookies, which are not the
// real ones any more.
type established struct {
	engine.KeysEstablished
	C2S, S2C []byte
	Cookies  [][]byte
}

// restored is Restored in the same way.
type restored struct{ Sessions []kept }

type kept struct {
	engine.Session
	C2S, S2C       []byte
	Cookies, Spare [][]byte
}

// bare turns octets into others of another name.
func bare[To, From ~[]byte](all []From) []To {
	var out []To
	for _, b := range all {
		out = append(out, To(b))
	}
	return out
}

func encodeEvent(ev engine.Event) ([]byte, error) {
	switch ev := ev.(type) {
	case engine.KeysEstablished:
		e := established{KeysEstablished: ev, C2S: ev.C2S, S2C: ev.S2C, Cookies: bare[[]byte](ev.Cookies)}
		return json.Marshal(map[string]any{"KeysEstablished": e})
	case engine.Restored:
		var r restored
		for _, x := range ev.Sessions {
			r.Sessions = append(r.Sessions, kept{x, x.C2S, x.S2C, bare[[]byte](x.Cookies), bare[[]byte](x.Spare)})
		}
		return json.Marshal(map[string]any{"Restored": r})
	default:
		return named(ev)
	}
}

// errForm is for a line that is not of a recording.
var errForm = errors.New("not a line of a recording")

func decodeEvent(b []byte) (engine.Event, error) {
	name, value, err := unname(b)
	if err != nil {
		return nil, err
	}
	decode, known := events[name]
	if !known {
		return nil, fmt.Errorf("%w: unknown event %q", errForm, name)
	}
	ev, err := decode(value)
	if err != nil {
		return nil, fmt.Errorf("%w: event %s: %w", errForm, name, err)
	}
	return ev, nil
}

// unname splits an object with one key.
func unname(b []byte) (name string, value []byte, err error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errForm, err)
	}
	for name, value := range m {
		if len(m) == 1 {
			return name, value, nil
		}
	}
	return "", nil, fmt.Errorf("%w: %d names in place of one", errForm, len(m))
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func event[E engine.Event](b []byte) (engine.Event, error) {
	var e E
	return e, strict(b, &e)
}

func decodeKeys(b []byte) (engine.Event, error) {
	var e established
	if err := strict(b, &e); err != nil {
		return nil, err
	}
	e.KeysEstablished.C2S, e.KeysEstablished.S2C = e.C2S, e.S2C
	e.KeysEstablished.Cookies = bare[engine.Secret](e.Cookies)
	return e.KeysEstablished, nil
}

func decodeRestored(b []byte) (engine.Event, error) {
	var r restored
	if err := strict(b, &r); err != nil {
		return nil, err
	}
	var ev engine.Restored
	for _, x := range r.Sessions {
		x.Session.C2S, x.Session.S2C = x.C2S, x.S2C
		x.Session.Cookies, x.Session.Spare = bare[engine.Secret](x.Cookies), bare[engine.Secret](x.Spare)
		ev.Sessions = append(ev.Sessions, x.Session)
	}
	return ev, nil
}

// events are all that there are, by name.
var events = map[string]func([]byte) (engine.Event, error){
	"Sent":              event[engine.Sent],
	"SendFailed":        event[engine.SendFailed],
	"Received":          event[engine.Received],
	"LookedUp":          event[engine.LookedUp],
	"Located":           event[engine.Located],
	"KeysEstablished":   decodeKeys,
	"KeyExchangeFailed": event[engine.KeyExchangeFailed],
	"Restored":          decodeRestored,
	"Ending":            event[engine.Ending],
	"Referenced":        event[engine.Referenced],
	"ReferenceLost":     event[engine.ReferenceLost],
	"SteerApplied":      event[engine.SteerApplied],
	"SteerFailed":       event[engine.SteerFailed],
	"Jumped":            event[engine.Jumped],
	"NetworkChanged":    event[engine.NetworkChanged],
	"Reconfigured":      event[engine.Reconfigured],
	"Commanded":         event[engine.Commanded],
}

func action[A engine.Action](b []byte) (engine.Action, error) {
	var a A
	return a, json.Unmarshal(b, &a)
}

// actions are all that there are, by name. Those of a program that knew more
// about an action than this one does are read all the same.
var actions = map[string]func([]byte) (engine.Action, error){
	"Send":            action[engine.Send],
	"Abandon":         action[engine.Abandon],
	"Lookup":          action[engine.Lookup],
	"Locate":          action[engine.Locate],
	"ExchangeKeys":    action[engine.ExchangeKeys],
	"OpenReference":   action[engine.OpenReference],
	"CloseReference":  action[engine.CloseReference],
	"Steer":           action[engine.Steer],
	"SetClockStatus":  action[engine.SetClockStatus],
	"PublishSnapshot": action[engine.PublishSnapshot],
	"Save":            action[engine.Save],
	"Keep":            action[engine.Keep],
	"Report":          action[engine.Report],
	"Halt":            action[engine.Halt],
}

// DecodeAction reads what Action made.
func DecodeAction(b []byte) (engine.Action, error) {
	name, value, err := unname(b)
	if err != nil {
		return nil, err
	}
	decode, known := actions[name]
	if !known {
		return nil, fmt.Errorf("%w: unknown action %q", errForm, name)
	}
	return decode(value)
}
