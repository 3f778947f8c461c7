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

// clientSecrets are the keys in these tables whose values are secrets.
var clientSecrets = []string{"proxy-password"}

// ClientPart is the part of an ntp.toml that the client side is made of,
// without comments: what may be handed to others so that they see how the
// clock was steered. Servers, their keys and tokens, sockets and logs are not
// in it; passwords read "removed".
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
	conceal(all)
	out, err := toml.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be reduced to what concerns sources: %w", err)
	}
	return out, nil
}

// conceal replaces secrets in a tree.
func conceal(tree any) {
	switch v := tree.(type) {
	case map[string]any:
		for name := range v {
			if slices.Contains(clientSecrets, dashed(name)) {
				v[name] = "removed"
			}
			conceal(v[name])
		}
	case []any:
		for _, e := range v {
			conceal(e)
		}
	}
}
