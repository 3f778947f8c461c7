package config

import (
	"fmt"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// clientTables are what the client side is made of, in every spelling that
// Parse takes.
var clientTables = []string{
	"source", "sources", "peer", "peers", "source-defaults", "source_defaults", "synchronization", "system",
}

// ClientPart is the part of an ntp.toml that the client side is made of,
// without comments: what may be handed to others so that they see how the
// clock was steered. Servers, their keys and tokens, sockets and logs are not
// in it.
func ClientPart(data []byte) ([]byte, error) {
	var all map[string]any
	if err := toml.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("the configuration cannot be reduced to what concerns sources: %w", err)
	}
	for name := range all {
		if !slices.Contains(clientTables, name) {
			delete(all, name)
		}
	}
	out, err := toml.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be reduced to what concerns sources: %w", err)
	}
	return out, nil
}
