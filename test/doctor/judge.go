package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// setup is one way to break synchronisation.
type setup struct {
	name   string
	thread string // where somebody reported it
	// build makes the world, broken or whole. What it does in both cases must
	// not depend on the cause.
	build func(w *world, broken bool) error
	// cause is what the first line that is not OK must match.
	cause string
}

// result is what came of a set-up and its twin.
type result struct {
	first string // what doctor says of the broken one
	text  string // all of it, and of the twin what is not OK
	err   error
}

func (s *suite) judge(ctx context.Context, u *setup, n int) result {
	broken, err := s.doctor(ctx, u, fmt.Sprintf("%02d-broken", n), true)
	if err != nil {
		return result{text: broken, err: fmt.Errorf("broken: %w", err)}
	}
	r := result{first: firstTrouble(broken), text: broken}
	if r.first == "" {
		r.err = errors.New("doctor finds nothing")
		return r
	}
	if !regexp.MustCompile(u.cause).MatchString(r.first) {
		r.err = fmt.Errorf("the first line that is not OK does not match %q", u.cause)
		return r
	}
	whole, err := s.doctor(ctx, u, fmt.Sprintf("%02d-whole", n), false)
	switch {
	case err != nil:
		r.text, r.err = whole, fmt.Errorf("twin: %w", err)
	case firstTrouble(whole) != "" || !strings.Contains(whole, "\nAll OK: "):
		r.text, r.err = whole, fmt.Errorf("twin: doctor finds fault with a healthy set-up: %s", firstTrouble(whole))
	}
	return r
}

// doctor builds a world and asks for its first line.
func (s *suite) doctor(ctx context.Context, u *setup, name string, broken bool) (string, error) {
	w, err := s.newWorld(ctx, name)
	if err != nil {
		return "", err
	}
	defer w.close()
	if err := u.build(w, broken); err != nil {
		return w.logs(), err
	}
	return w.diagnose()
}

// firstTrouble is the first line that is not OK.
func firstTrouble(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "FAIL ") || strings.HasPrefix(line, "WARN ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
