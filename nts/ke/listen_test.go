package ke

import (
	"net"
	"strconv"
	"testing"
)

func TestListenOnIPv4TakesNoIPv6(t *testing.T) {
	l, err := Listen(t.Context(), "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	conn, err := net.Dial("tcp6", net.JoinHostPort("::1", port))
	if err == nil {
		conn.Close()
		t.Errorf("%v takes a connection to [::1]:%s", l.Addr(), port)
	}
}
