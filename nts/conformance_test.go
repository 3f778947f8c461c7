package nts

import "testing"

// RFC 8915 section 4.1.6: of New Cookie for NTPv4, "the Critical Bit SHOULD
// NOT be set".
func TestRFC8915Section4_1_6CookiesAreNotCritical(t *testing.T) {
	msg, _, err := (&Server{}).Respond(nil, KeyExchange{Protocols: []Protocol{NTPv4}, Algorithms: supportedAlgorithms},
		Session{Export: exportText, Seal: sealText})
	if err != nil {
		t.Fatal(err)
	}
	records, err := SplitMessage(msg)
	if err != nil {
		t.Fatal(err)
	}
	cookies := 0
	for _, r := range records {
		if r.Type == TypeCookie {
			cookies++
			if r.Critical {
				t.Errorf("cookie %d is critical", cookies)
			}
		}
	}
	if cookies != MaxCookies {
		t.Errorf("%d cookies", cookies)
	}
}
