package nts

import (
	"encoding/binary"
	"fmt"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// ExporterLabel is the label of every key that NTS takes out of TLS: "The
// disambiguating label string MUST be EXPORTER-network-time-security"
// (RFC 8915 section 4.3).
const ExporterLabel = "EXPORTER-network-time-security"

// Exporter takes key material out of a TLS connection, as RFC 5705 and RFC
// 8446 section 7.5 have it; tls.ConnectionState.ExportKeyingMaterial is one.
type Exporter func(label string, context []byte, length int) ([]byte, error)

// ExportContext is the per-association context of RFC 8915 section 5.1: the
// protocol, the algorithm, and 0 for the key from the client to the server or
// 1 for the other direction.
func ExportContext(p Protocol, a aead.Algorithm, s2c bool) []byte {
	context := binary.BigEndian.AppendUint16(nil, uint16(p))
	context = binary.BigEndian.AppendUint16(context, uint16(a))
	if s2c {
		return append(context, 1)
	}
	return append(context, 0)
}

// ExportKeys takes both keys, of keyLen octets each, out of a connection.
func ExportKeys(export Exporter, p Protocol, a aead.Algorithm, keyLen int) (c2s, s2c Secret, err error) {
	if c2s, err = export(ExporterLabel, ExportContext(p, a, false), keyLen); err != nil {
		return nil, nil, fmt.Errorf("export the client's key: %w", err)
	}
	if s2c, err = export(ExporterLabel, ExportContext(p, a, true), keyLen); err != nil {
		return nil, nil, fmt.Errorf("export the server's key: %w", err)
	}
	return c2s, s2c, nil
}
