package netio

import "io"

// Client opens exchanges.
type Client struct {
	out chan<- Result
	// Proxies are those of routes; nil is none.
	Proxies *Proxies
	// anchor only wants timestamps. Linux switches them on for the whole
	// machine a moment after the first socket asks, and off after the last
	// one closed; without it the replies to lone exchanges would go unstamped.
	anchor io.Closer
}

// NewClient returns a client whose exchanges deliver to out. Sending on out
// may block; closing an exchange releases it.
func NewClient(out chan<- Result) *Client { return &Client{out: out, anchor: openAnchor()} }

// Close gives back what the client itself holds. Exchanges are closed one by
// one.
func (c *Client) Close() { _ = c.anchor.Close() }
