package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// complaint matches a log line of level warn or error, in every form that our logs have.
var complaint = regexp.MustCompile(`\b(WARN|WRN|ERROR|ERR)\b`)

// complaints are the lines of a log that warn, without those that contain one of the expected texts.
func complaints(log string, expected ...string) []string {
	var found []string
lines:
	for line := range strings.Lines(log) {
		if !complaint.MatchString(line) {
			continue
		}
		for _, text := range expected {
			if strings.Contains(line, text) {
				continue lines
			}
		}
		found = append(found, strings.TrimSpace(line))
	}
	return found
}

// calm fails when one of the named programs has ended or has warned of something unexpected.
func (m *machine) calm(ctx context.Context, names []string, expected ...string) error {
	for _, name := range names {
		text, running, err := m.log(ctx, name)
		if err != nil {
			return err
		}
		if !running {
			return fmt.Errorf("%s has ended:\n%s", name, text)
		}
		if found := complaints(text, expected...); len(found) > 0 {
			return fmt.Errorf("%s warns: %s", name, strings.Join(found, "; "))
		}
	}
	return nil
}

// inOrder fails when a log does not contain these texts one after the other.
func inOrder(log string, texts ...string) error {
	rest := log
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			return fmt.Errorf("log does not go on with %q:\n%s", text, log)
		}
		rest = after
	}
	return nil
}

// keepLogs copies the logs of the guest's programs to the host, for a person who looks into a failure. It is called when
// the scenario is over, so it takes a little time of its own.
func (m *machine) keepLogs(names ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, name := range names {
		text, _, err := m.log(ctx, name)
		if err == nil {
			err = m.save(name+".log", text)
		}
		if err != nil {
			say("log of %s is lost: %v", name, err)
		}
	}
}
