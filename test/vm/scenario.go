package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// scenario is one boot of the machine.
type scenario struct {
	name  string
	limit time.Duration // for everything, the boot included
	prove func(ctx context.Context, m *machine) (evidence string, err error)
}

func scenarios(long bool) []scenario {
	story := 75 * time.Second
	if long {
		story = 5 * time.Minute
	}
	return []scenario{
		{"boot", 4 * time.Minute, boots},
		{"steer", 4 * time.Minute, steers},
		{"readme", 5 * time.Minute, transcript},
		{"life", 8 * time.Minute, lives},
		{"unsafe", 3*time.Minute + story, func(ctx context.Context, m *machine) (string, error) { return unsafe(ctx, m, story) }},
	}
}

func (s scenario) play(ctx context.Context, img *image, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	h, err := lab.NewHost(s.name, dir)
	if err != nil {
		return "", err
	}
	defer h.Close()
	m, err := img.boot(ctx, h)
	if err != nil {
		return "", err
	}
	defer m.halt()
	return s.prove(ctx, m)
}

// boots proves the machine itself: a clock of its own that can be set while the host's stays and that obeys package clock,
// and a network.
func boots(ctx context.Context, m *machine) (string, error) {
	version, err := m.run(ctx, "/bin/cat", "/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	loaded, err := m.run(ctx, "/bin/cat", "/proc/modules")
	if err != nil {
		return "", err
	}
	for _, module := range []string{"virtio_net", "sch_netem"} {
		if !strings.Contains(loaded.Output, module+" ") {
			return "", fmt.Errorf("module %s is not loaded:\n%s", module, loaded.Output)
		}
	}
	host := time.Now()
	if err := m.setClock(ctx, 24*time.Hour); err != nil {
		return "", err
	}
	date, err := m.run(ctx, "/bin/date", "+%s")
	if err != nil {
		return "", err
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(date.Output), 10, 64)
	if err != nil {
		return "", err
	}
	ahead := time.Unix(seconds, 0).Sub(host).Round(time.Minute)
	if ahead != 24*time.Hour {
		return "", fmt.Errorf("guest's clock is %v ahead, want a day", ahead)
	}
	ping, err := m.run(ctx, "/bin/busybox", "ping", "-c", "1", "-W", "5", hostAddr.String())
	if err != nil || ping.Code != 0 {
		return "", fmt.Errorf("guest does not reach its host: %w %s", err, ping.Output)
	}
	tests, err := obeys(ctx, m)
	if err != nil {
		return "", err
	}
	return "Linux " + strings.TrimSpace(version.Output) + " with its own clock and network; " + tests, nil
}
