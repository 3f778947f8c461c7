package ke

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// slowly is a connection whose deadline takes a while to move into the past.
type slowly struct {
	said
	past bool
}

func (c *slowly) SetDeadline(t time.Time) error {
	if t.Equal(time.Unix(1, 0)) {
		time.Sleep(time.Second)
		c.past = true
	}
	return nil
}

// A context that ends together with an exchange must not end the next one over
// the same connection.
func TestTheEndOfAContextDoesNotComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw := new(slowly)
		c := &Conn{tls: raw}
		ctx, cancel := context.WithCancel(t.Context())
		release := c.bind(ctx)
		cancel()
		release()
		if !raw.past {
			t.Error("the deadline of the first exchange moves during the second")
		}
		release = c.bind(t.Context())
		release() // does not wait
	})
}
