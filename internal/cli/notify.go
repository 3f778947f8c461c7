package cli

import (
	"fmt"
	"net"
	"strings"
)

// Notify sends a message to the service manager's socket, as sd_notify(3)
// describes it. address is the value of NOTIFY_SOCKET; empty does nothing.
func Notify(address, message string) error {
	if address == "" {
		return nil
	}
	name := address
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:] // an abstract socket
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("service manager at %s: %w", address, err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(message)); err != nil {
		return fmt.Errorf("service manager at %s: %w", address, err)
	}
	return nil
}
