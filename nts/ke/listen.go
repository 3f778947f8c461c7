package ke

import (
	"context"
	"net"
)

// Listen opens a listener for the key exchange. Go's net.Listen would make it
// a multipath TCP socket, which sandboxes with rules for TCP do not cover and
// of which a key exchange has no use.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	return lc.Listen(ctx, "tcp", addr)
}
