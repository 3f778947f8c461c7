package daemon

import (
	"errors"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/control"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// clients answers who asks the NTP servers: the first top, or all with 0.
func (c *commander) clients(top int) (control.Answer, error) {
	switch {
	case c.d.ntp == nil || len(c.d.Config.Servers) == 0:
		return control.Answer{}, errors.New("this daemon serves nobody: its configuration has no [[server]]")
	case c.d.Config.Observability.ClientList == config.ClientsOff:
		return control.Answer{}, errors.New(`clients are not remembered: the configuration has client-list = "off" in [observability]`)
	}
	all, now := c.d.ntp.Clients()
	hour, _ := c.d.ntp.Distinct()
	list := observe.ClientList{Schema: observe.ClientsSchema, Scope: "network", LastHour: hour, Remembered: len(all), Clients: []observe.Client{}}
	if c.d.Config.Observability.ClientList == config.ClientsByAddress {
		list.Scope = "address"
	}
	if top > 0 && top < len(all) {
		all = all[:top]
	}
	for i := range all {
		e := &all[i]
		name := e.Prefix.String()
		if e.Prefix.IsSingleIP() {
			name = e.Prefix.Addr().String()
		}
		list.Clients = append(list.Clients, observe.Client{
			Client: name, Requests: e.Requests, Missed: e.Missed, NTS: e.NTS, Limited: e.Limited, Denied: e.Denied,
			KnownFor: max(now.Sub(e.Since).Seconds(), 0), Age: max(now.Sub(e.Last).Seconds(), 0),
			Interval: observe.Interval(e.Requests, e.Last.Sub(e.Since).Seconds()),
		})
	}
	return control.Did().With(list), nil
}
