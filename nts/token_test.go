package nts

import (
	"errors"
	"strings"
	"testing"
)

// TestTokensCannotBeGuessedByTheThousand: one request tries a token or two, not
// as many as fit into it.
func TestTokensCannotBeGuessedByTheThousand(t *testing.T) {
	const ask = "800a 0000"
	const wrong = "000e 0003 78797a"
	asked := 0
	count := func(token Secret) bool {
		if token != nil {
			asked++
		}
		return onlyABC(token)
	}
	_, err := DecodeRequest(fromHex(strings.Repeat(wrong, 500)+token3+ask+eom), count)
	if !errors.Is(err, ErrUnrecognizedCritical) || asked != maxTokens {
		t.Errorf("%d tokens were tried, and the answer is %v", asked, err)
	}
	// The empty ones do not count, and are not shown to anybody.
	asked = 0
	if _, err := DecodeRequest(fromHex(strings.Repeat("000e 0000", 3)+token3+ask+eom), count); !errors.Is(err, ErrMalformed) || asked != 1 {
		t.Errorf("%d tokens were tried, and the answer is %v", asked, err)
	}
}
