package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// report reads the "name : value" lines that chronyc and ntpq print. The first name that is missing or has no number
// is remembered in err.
type report struct {
	values map[string]string
	err    error
}

func readReport(text string) *report {
	r := &report{values: map[string]string{}}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			r.values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return r
}

func (r *report) text(name string) string {
	value, ok := r.values[name]
	if !ok && r.err == nil {
		r.err = fmt.Errorf("report has no line %q", name)
	}
	return value
}

func (r *report) number(name string) int {
	n, err := strconv.Atoi(firstWord(r.text(name)))
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", name, err)
	}
	return n
}

// seconds reads a value like "+0.000012 seconds".
func (r *report) seconds(name string) time.Duration {
	d, err := time.ParseDuration(firstWord(r.text(name)) + "s")
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", name, err)
	}
	return d
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}
