package ke

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ntpd-go/ntpd-go/nts"
)

// RFC 8915 section 4: "the client SHALL send a single request", and "After
// sending their respective request and response, the client and server SHALL
// send TLS "close_notify" alerts".
func TestRFC8915Section4ClientSendsOneRequestAndCloseNotify(t *testing.T) {
	for name, answer := range map[string]string{"an answer": answered + eom, "an error": errorOne, "nonsense": eom} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				var rest []byte
				end := errors.New("the client is still there")
				f.talk = func(c *tls.Conn) {
					c.Write(fromHex(answer))
					// Without a close_notify this is an unexpected EOF.
					rest, end = io.ReadAll(c)
				}
				f.start(t)
				f.exchange(t)
				synctest.Wait()
				if len(rest) != 0 || end != nil {
					t.Errorf("after the request came %x, %v", rest, end)
				}
			})
		})
	}
}

// RFC 8915 section 4: "the server SHALL send a single response", whatever else
// the client sends.
func TestRFC8915Section4OneResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		c := w.mustRaw()
		say(t, c, strings.Repeat(ordinary+eom, 3))
		msg := hear(t, c)
		resp, err := nts.DecodeResponse(msg)
		if _, ok := resp.(nts.Established); !ok || err != nil {
			t.Errorf("%d octets: %v, %v", len(msg), resp, err)
		}
		synctest.Wait()
		if w.kinds() != "key-exchange" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}
