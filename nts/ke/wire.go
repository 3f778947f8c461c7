package ke

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"github.com/ntpd-go/ntpd-go/nts"
)

// errTooLong is a message that does not end within its bound.
var errTooLong = errors.New("message too long")

// readMessage reads one message up to and including its End of Message and
// never more than limit octets. It returns io.EOF only if not a single octet
// came.
func readMessage(r *bufio.Reader, limit int) ([]byte, error) {
	var msg []byte
	for {
		var head [nts.HeaderLen]byte
		if len(msg)+len(head) > limit {
			return nil, fmt.Errorf("%w: no end within %d octets", errTooLong, limit)
		}
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if err == io.EOF && len(msg) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		rec, n := nts.ParseHeader(head)
		msg = append(msg, head[:]...)
		if len(msg)+n > limit {
			return nil, fmt.Errorf("%w: no end within %d octets", errTooLong, limit)
		}
		body := len(msg)
		msg = append(msg, make([]byte, n)...)
		if _, err := io.ReadFull(r, msg[body:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if rec.Type == nts.TypeEndOfMessage {
			return msg, nil
		}
	}
}

// harden makes a copy of config that keeps to RFC 8915 section 3: "TLS
// versions earlier than 1.3 MUST NOT be negotiated", and to the application
// protocol of section 4.
func harden(config *tls.Config) *tls.Config {
	c := config.Clone()
	c.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	c.NextProtos = []string{nts.ALPN}
	// Some clients read the answer as one TLS record.
	c.DynamicRecordSizingDisabled = true
	// A key exchange is rare; a ticket would link a client across networks.
	c.SessionTicketsDisabled = true
	c.ClientSessionCache = nil
	return c
}
