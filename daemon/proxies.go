package daemon

import (
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/netio"
)

// newProxies knows the proxies of a configuration. Routes name them without their
// passwords, since routes are shown and recorded.
func newProxies(c *config.Config) *netio.Proxies {
	p := netio.NewProxies()
	p.SetPasswords(proxyPasswords(c))
	return p
}

func proxyPasswords(c *config.Config) map[string]string {
	by := make(map[string]string)
	for i := range c.Sources {
		if s := &c.Sources[i]; s.Proxy.User != "" {
			by[s.Proxy.String()] = s.Proxy.Password.Reveal()
		}
	}
	return by
}
