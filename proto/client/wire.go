package client

import (
	"io"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// wire is a packet format as an association sees it. The association knows
// nothing else about octets, so another version of the protocol is another
// wire.
type wire struct {
	appendRequest func(dst []byte, q query, entropy io.Reader) ([]byte, error)
	parseReply    func(datagram []byte, secure bool) (reply, Verdict)
}

// query is what a request says.
type query struct {
	nonce uint64 // comes back in the reply
	// With Network Time Security only:
	keys         *Keys
	uniqueID     []byte
	cookie       []byte
	placeholders int
}

// reply is what a datagram says, before anything of it is believed. Slices
// alias the datagram.
type reply struct {
	nonce     uint64
	server    Server
	precision int8
	received  proto.Timestamp // T2
	sent      proto.Timestamp // T3
	kiss      bool
	code      proto.RefID // the kiss code

	uniqueIDs int    // unique identifiers before the authenticator
	uniqueID  []byte // the last of them
	sealed    bool   // auth is there
	auth      proto.Field
}

// Server is what a server says about its clock.
type Server struct {
	Leap           proto.Leap
	Stratum        uint8
	RefID          proto.RefID
	RootDelay      proto.Duration
	RootDispersion proto.Duration
}

// RootDistance bounds the error of the server's clock at the moment it
// answered: half the delay to the reference plus the dispersion (RFC 5905
// section 11.2).
func (s Server) RootDistance() proto.Duration { return s.RootDelay/2 + s.RootDispersion }

// Keys are what a key exchange established for one association.
type Keys struct {
	C2S, S2C aead.AEAD
}
