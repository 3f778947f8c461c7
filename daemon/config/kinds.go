package config

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Unlimited stands for no limit where a duration limits something.
const Unlimited = time.Duration(math.MaxInt64)

// A Secret is a text that must not show in logs or dumps.
type Secret struct{ text string }

// Reveal gives the text.
func (s Secret) Reveal() string { return s.text }

// String, GoString and MarshalText all keep the text to themselves.
func (Secret) String() string { return "<secret>" }

// GoString keeps the text out of %#v.
func (Secret) GoString() string { return "<secret>" }

// MarshalText keeps the text out of JSON and its like.
func (Secret) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

var boolean = kind[bool]{"true or false", func(d *decoder, path string, v *value) (bool, bool) {
	if v.kind != boolValue {
		d.mismatch(path, v, "true or false", "write it without quotes")
	}
	return v.truth, v.kind == boolValue
}}

// text reads a string that is not empty.
func text(form string) kind[string] {
	return kind[string]{form, func(d *decoder, path string, v *value) (string, bool) {
		if v.kind != stringValue {
			d.mismatch(path, v, "a string", "write it in quotes")
			return "", false
		}
		if v.text == "" {
			d.problem(v.pos, path, "is empty", "write a "+strings.TrimPrefix(form, "a ")+" or leave the key out")
			return "", false
		}
		return v.text, true
	}}
}

var filePath = kind[string]{"path", func(d *decoder, path string, v *value) (string, bool) {
	s, ok := text("path").read(d, path, v)
	if ok && strings.ContainsRune(s, 0) {
		d.problem(v.pos, path, "a path cannot hold a zero byte", "correct the path")
		return "", false
	}
	return s, ok
}}

// orOff is a path whose empty string switches something off.
var orOff = kind[string]{`path, or "" for none`, func(d *decoder, path string, v *value) (string, bool) {
	if v.kind == stringValue && v.text == "" {
		return "", true
	}
	return filePath.read(d, path, v)
}}

var secret = kind[Secret]{"string", func(d *decoder, path string, v *value) (Secret, bool) {
	switch {
	case v.kind == stringValue && v.text != "":
		return Secret{v.text}, true
	case v.kind == stringValue:
		d.problem(v.pos, path, "is empty", "an empty token would let everybody in")
	case v.kind != badValue: // without quoting what may be a secret
		d.problem(v.pos, path, "expected a string, found "+v.kind.String(), "write it in quotes")
	}
	return Secret{}, false
}}

// whole reads an integer of a range, ends included.
func whole[V ~int | ~int8 | ~int32 | ~uint8 | ~uint16 | ~uint32](low, high int64) kind[V] {
	form := fmt.Sprintf("integer from %d to %d", low, high)
	return kind[V]{form, func(d *decoder, path string, v *value) (V, bool) {
		if v.kind != integerValue {
			hint := ""
			if v.kind == stringValue {
				hint = "write it without quotes"
			}
			d.mismatch(path, v, "an "+form, hint)
			return 0, false
		}
		if v.integer < low || v.integer > high {
			d.problem(v.pos, path, fmt.Sprintf("%s is out of range", clip(v.raw)), fmt.Sprintf("it goes from %d to %d", low, high))
			return 0, false
		}
		return V(v.integer), true
	}}
}

// number reads an integer or float between low and high, ends included; never NaN.
func number(form string, low, high float64) kind[float64] {
	return kind[float64]{form, func(d *decoder, path string, v *value) (float64, bool) {
		if v.kind != integerValue && v.kind != floatValue {
			d.mismatch(path, v, "a "+form, "")
			return 0, false
		}
		if !(v.float >= low && v.float <= high) {
			d.problem(v.pos, path, clip(v.raw)+" is out of range", "it must be a "+form)
			return 0, false
		}
		return v.float, true
	}}
}

var (
	weight      = number("number from 0 to 1", 0, 1)
	notNegative = number("number not below 0", 0, math.Inf(1))
	positive    = number("number above 0", math.SmallestNonzeroFloat64, math.MaxFloat64)
)

// scaled reads a number of units (milliseconds, seconds) as a duration.
func scaled(form string, unit time.Duration, low, high int64) kind[time.Duration] {
	k := whole[int](low, high)
	return kind[time.Duration]{fmt.Sprintf("%s, %d to %d", form, low, high), func(d *decoder, path string, v *value) (time.Duration, bool) {
		n, ok := k.read(d, path, v)
		return time.Duration(n) * unit, ok
	}}
}

// seconds turns a number of seconds, not negative, into a duration; what does not fit is Unlimited.
func seconds(f float64) time.Duration {
	if f >= Unlimited.Seconds() {
		return Unlimited
	}
	return time.Duration(math.Round(f * float64(time.Second)))
}

// span is a duration above zero written as seconds.
var span = kind[time.Duration]{"seconds above 0", func(d *decoder, path string, v *value) (time.Duration, bool) {
	f, ok := positive.read(d, path, v)
	return seconds(f), ok
}}

// opt lets a key tell "not written" from a value: nil.
func opt[V any](k kind[V]) kind[*V] {
	return kind[*V]{k.form, func(d *decoder, path string, v *value) (*V, bool) {
		x, ok := k.read(d, path, v)
		if !ok {
			return nil, false
		}
		return &x, true
	}}
}

// many reads an array of one kind; every bad element is reported.
func many[V any](k kind[V]) kind[[]V] {
	return kind[[]V]{"array of " + k.form, func(d *decoder, path string, v *value) ([]V, bool) {
		if v.kind != arrayValue {
			d.mismatch(path, v, "an array", "write it in [brackets]")
			return nil, false
		}
		all, good := make([]V, 0, len(v.list)), true
		for _, e := range v.list {
			x, ok := k.read(d, path, e)
			if ok {
				all = append(all, x)
			}
			good = good && ok
		}
		return all, good
	}}
}

// word reads one of a fixed set of strings.
func word[V any](pairs ...named[V]) kind[V] {
	names := make([]string, len(pairs))
	for i, p := range pairs {
		names[i] = `"` + p.name + `"`
	}
	form := english(names, "or")
	return kind[V]{form, func(d *decoder, path string, v *value) (V, bool) {
		var zero V
		if v.kind != stringValue {
			d.mismatch(path, v, form, "")
			return zero, false
		}
		for _, p := range pairs {
			if p.name == v.text {
				return p.value, true
			}
		}
		d.problem(v.pos, path, quoted(v.text)+" is not one of its values", "it is "+form)
		return zero, false
	}}
}

type named[V any] struct {
	name  string
	value V
}

// same makes words that stand for themselves.
func same(names ...string) kind[string] {
	pairs := make([]named[string], len(names))
	for i, n := range names {
		pairs[i] = named[string]{n, n}
	}
	return word(pairs...)
}
