package cookie_test

import (
	"crypto/rand"
	"fmt"

	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// A cookie outlives a rotation and a restart, until its key is forgotten.
func ExampleKeyset() {
	set, err := cookie.NewKeyset(rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	association := cookie.Contents{Algorithm: aead.AESSIVCMAC256, S2C: make([]byte, 32), C2S: make([]byte, 32)}
	nonce := make([]byte, cookie.NonceLen)
	if _, err := rand.Read(nonce); err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := set.Seal(nil, association, nonce)
	if err != nil {
		fmt.Println(err)
		return
	}

	for range 2 {
		if set, err = set.Rotate(rand.Reader, 1); err != nil {
			fmt.Println(err)
			return
		}
		restarted, saved, err := cookie.Parse(set.Marshal(1700000000))
		if err != nil {
			fmt.Println(err)
			return
		}
		contents, err := restarted.Open(sealed)
		fmt.Println(saved, restarted.Len(), contents.Algorithm, err)
	}
	// Output:
	// 1700000000 2 AES-SIV-CMAC-256 <nil>
	// 1700000000 2 AEAD 0 cookie: cookie does not open
}

func ExampleJar() {
	var jar cookie.Jar
	for i := range 10 {
		jar.Put(fmt.Append(nil, "cookie ", i))
	}
	fmt.Println(jar.Len())
	oldest, _ := jar.Take()
	fmt.Printf("%s, %d left\n", oldest, jar.Len())
	// Output:
	// 8
	// cookie 2, 7 left
}
