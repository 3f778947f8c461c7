package sim

import (
	"fmt"

	"github.com/ntpd-go/ntpd-go/daemon/assemble"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// build makes the engine's configuration from an ntp.toml, as the daemon does.
func build(toml string) (engine.Config, error) {
	c, problems := config.Parse("ntp.toml", []byte(toml))
	if len(problems) > 0 {
		return engine.Config{}, fmt.Errorf("ntp.toml: %w", problems[0])
	}
	return assemble.Engine(c), nil
}
