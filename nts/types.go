package nts

// Record types of RFC 8915 section 4.1, and of the IANA registry "Network Time
// Security Key Establishment Record Types".
const (
	TypeEndOfMessage uint16 = 0
	TypeNextProtocol uint16 = 1
	TypeError        uint16 = 2
	TypeWarning      uint16 = 3
	TypeAlgorithm    uint16 = 4
	TypeCookie       uint16 = 5
	TypeServer       uint16 = 6
	TypePort         uint16 = 7

	// TypeCompliantGCMSIV says that the sender derives the keys of
	// AEAD_AES_128_GCM_SIV as RFC 8915 section 5.1 has it; some clients had
	// derived them otherwise.
	TypeCompliantGCMSIV uint16 = 1024
)

// Record types of pools, as IANA allocated them for
// draft-ietf-ntp-nts-keyexchange-pool.
const (
	TypeKeepAlive           uint16 = 8
	TypeSupportedProtocols  uint16 = 9
	TypeSupportedAlgorithms uint16 = 10
	TypeListNames           uint16 = 11
	TypeFixedKey            uint16 = 12
	TypeDeny                uint16 = 13
	TypeToken               uint16 = 14
)

// The same records with the experimental numbers of the drafts before.
const (
	TypeDraftKeepAlive           uint16 = 0x4000
	TypeDraftSupportedAlgorithms uint16 = 0x4001
	TypeDraftFixedKey            uint16 = 0x4002
	TypeDraftDeny                uint16 = 0x4003
	TypeDraftSupportedProtocols  uint16 = 0x4004
	TypeDraftToken               uint16 = 0x4005 // or, critical and empty, the names of draft -03
	TypeDraftListNames           uint16 = 0x4006
)

// Dialect is a family of numbers for the pool records.
type Dialect uint8

// The dialects. A request speaks one, and is answered in the same.
const (
	NoDialect Dialect = iota // the message holds no pool record
	IANA                     // 8 to 14
	Draft                    // 0x4000 to 0x4006

	// ClientCertificate is the first generation: draft numbers, a TLS client
	// certificate instead of a token, and no list of protocols.
	ClientCertificate
)

// String names the dialect as logs show it.
func (d Dialect) String() string {
	switch d {
	case NoDialect:
		return "none"
	case IANA:
		return "iana"
	case Draft:
		return "draft"
	case ClientCertificate:
		return "client-certificate"
	default:
		return "invalid"
	}
}

// meaning is what a record is about, whatever its number.
type meaning uint8

const (
	meansUnknown meaning = iota
	meansEndOfMessage
	meansNextProtocol
	meansError
	meansWarning
	meansAlgorithm
	meansCookie
	meansServer
	meansPort
	meansCompliantGCMSIV

	// The records of pools, from here to the end.
	meansKeepAlive
	meansSupportedProtocols
	meansSupportedAlgorithms
	meansListNames
	meansFixedKey
	meansDeny
	meansToken
)

// privileged reports whether only an authorised pool may send the record.
// Anybody may say which servers it does not want.
func (m meaning) privileged() bool { return m >= meansKeepAlive && m != meansDeny }

// classify tells what a record is about and, for a pool record, in which
// dialect. Number 0x4005 was used twice: critical and empty it asks for names
// (draft -03), otherwise it is a token (draft -04 and later).
func classify(r Record) (meaning, Dialect) {
	switch r.Type {
	case TypeEndOfMessage:
		return meansEndOfMessage, NoDialect
	case TypeNextProtocol:
		return meansNextProtocol, NoDialect
	case TypeError:
		return meansError, NoDialect
	case TypeWarning:
		return meansWarning, NoDialect
	case TypeAlgorithm:
		return meansAlgorithm, NoDialect
	case TypeCookie:
		return meansCookie, NoDialect
	case TypeServer:
		return meansServer, NoDialect
	case TypePort:
		return meansPort, NoDialect
	case TypeCompliantGCMSIV:
		return meansCompliantGCMSIV, NoDialect
	case TypeDraftToken:
		if r.Critical && len(r.Body) == 0 {
			return meansListNames, Draft
		}
		return meansToken, Draft
	}
	for m := meansKeepAlive; m <= meansToken; m++ {
		switch r.Type {
		case number(m, IANA):
			return m, IANA
		case number(m, Draft):
			return m, Draft
		}
	}
	return meansUnknown, NoDialect
}

// number is the record type that carries a pool record in a dialect.
func number(m meaning, d Dialect) uint16 {
	iana := d == IANA
	pick := func(a, b uint16) uint16 {
		if iana {
			return a
		}
		return b
	}
	switch m {
	case meansKeepAlive:
		return pick(TypeKeepAlive, TypeDraftKeepAlive)
	case meansSupportedProtocols:
		return pick(TypeSupportedProtocols, TypeDraftSupportedProtocols)
	case meansSupportedAlgorithms:
		return pick(TypeSupportedAlgorithms, TypeDraftSupportedAlgorithms)
	case meansListNames:
		return pick(TypeListNames, TypeDraftListNames)
	case meansFixedKey:
		return pick(TypeFixedKey, TypeDraftFixedKey)
	case meansDeny:
		return pick(TypeDeny, TypeDraftDeny)
	case meansToken:
		return pick(TypeToken, TypeDraftToken)
	default:
		panic("nts: not a pool record")
	}
}

// String names the record as RFC 8915 and the pool drafts do.
func (m meaning) String() string {
	names := [...]string{
		"unknown", "End of Message", "NTS Next Protocol Negotiation", "Error", "Warning",
		"AEAD Algorithm Negotiation", "New Cookie", "NTPv4 Server Negotiation",
		"NTPv4 Port Negotiation", "Compliant AES-128-GCM-SIV", "Keep Alive",
		"Supported Next Protocol List", "Supported Algorithm List", "List Server Names",
		"Fixed Key Request", "NTP Server Deny", "Authentication Token",
	}
	return names[m]
}
