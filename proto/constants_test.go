package proto

import "testing"

// The numbers of the wire, as the standards give them.
func TestWireNumbers(t *testing.T) {
	for name, pair := range map[string][2]int{
		"symmetric active (RFC 5905 figure 10)": {int(ModeSymmetricActive), 1},
		"symmetric passive":                     {int(ModeSymmetricPassive), 2},
		"client":                                {int(ModeClient), 3},
		"server":                                {int(ModeServer), 4},
		"broadcast":                             {int(ModeBroadcast), 5},
		"control message":                       {int(ModeControl), 6},
		"private use":                           {int(ModePrivate), 7},
		"unsynchronised stratum (RFC 5905 figure 11)": {MaxStratum, 16},
		"header (RFC 5905 figure 8)":                  {HeaderLen, 48},
		"unique identifier (RFC 8915 section 7.5)":    {int(FieldUniqueIdentifier), 0x0104},
		"cookie":                                           {int(FieldCookie), 0x0204},
		"cookie placeholder":                               {int(FieldCookiePlaceholder), 0x0304},
		"authenticator":                                    {int(FieldAuthenticator), 0x0404},
		"field (RFC 7822 section 3)":                       {MinFieldLen, 16},
		"last field (RFC 7822 section 3)":                  {MinLastFieldLen, 28},
		"longest field (RFC 7822 section 3)":               {maxFieldLen, 65532},
		"encrypted field (RFC 8915 section 5.6)":           {MinInnerFieldLen, 4},
		"least unique identifier (RFC 8915 section 5.3)":   {MinUniqueIDLen, 32},
		"our unique identifier, which must be at least it": {UniqueIDLen, 32},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %d, want %d", name, pair[0], pair[1])
		}
	}
}
