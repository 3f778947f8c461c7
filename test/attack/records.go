package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Types of the content of TLS records (RFC 8446, section 5.1).
const (
	handshake       = 22
	applicationData = 23
)

// handmade is a connection to the key exchange whose records may be made by hand, such as crypto/tls never sends them.
// Nothing may be written in the ordinary way before or after that.
type handmade struct {
	*tls.Conn
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	sent   uint64 // records under this key
}

// handmadeClient opens one.
func handmadeClient(t *scene.Trial, h *lab.Host) *handmade {
	var secrets bytes.Buffer
	c, err := client(t, h, func(c *tls.Config) { c.KeyLogWriter = &secrets })
	t.Check(err)
	if suite := c.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("the key exchange prefers %s on this machine, which this row cannot write by hand", tls.CipherSuiteName(suite))
	}
	m := &handmade{Conn: c}
	for line := range strings.Lines(secrets.String()) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			m.secret, err = hex.DecodeString(f[2])
			t.Check(err)
		}
	}
	t.Check(m.derive())
	return m
}

// expand is HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
func (m *handmade) expand(label string, length int) ([]byte, error) {
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(append(append(info, "tls13 "...), label...), 0)
	return hkdf.Expand(sha256.New, m.secret, string(info), length)
}

// derive makes the keys of the secret.
func (m *handmade) derive() error {
	key, err := m.expand("key", 16)
	if err != nil {
		return err
	}
	if m.iv, err = m.expand("iv", 12); err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	m.aead, err = cipher.NewGCM(block)
	m.sent = 0
	return err
}

// send writes one record.
func (m *handmade) send(kind byte, content []byte) error {
	inner := append(append([]byte{}, content...), kind)
	header := []byte{applicationData, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(header[3:], uint16(len(inner)+m.aead.Overhead()))
	nonce := bytes.Clone(m.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^m.sent)
	m.sent++
	_, err := m.NetConn().Write(m.aead.Seal(header, nonce, inner, header))
	return err
}

// updateKeys sends a KeyUpdate, and goes on with the next keys (RFC 8446, sections 4.6.3 and 7.2).
func (m *handmade) updateKeys(both bool) error {
	message := []byte{24, 0, 0, 1, 0}
	if both {
		message[4] = 1
	}
	if err := m.send(handshake, message); err != nil {
		return err
	}
	next, err := m.expand("traffic upd", len(m.secret))
	if err != nil {
		return err
	}
	m.secret = next
	return m.derive()
}

// understood shows that the server takes records that are made by hand, a few odd ones among them.
func understood(t *scene.Trial, h *lab.Host) {
	c := handmadeClient(t, h)
	defer c.Close()
	request := message(protocols, aeads, end)
	t.Check(c.send(applicationData, request[:5]))
	t.Check(c.send(applicationData, nil))
	t.Check(c.updateKeys(true))
	t.Check(c.send(applicationData, request[5:]))
	answer, err := io.ReadAll(c)
	t.Check(err)
	if errorCode(answer) != -1 || len(answer) < 100 {
		t.Fatal("records that are made by hand are not understood: %x", answer)
	}
	t.Control("a request with an empty record and a key update within gets keys")
}
