package config

import (
	"reflect"
	"strings"
	"testing"
)

// What is left is what sources and the filter are made of, and no secret.
func TestClientPart(t *testing.T) {
	text := `# the password is hunter2
[[source]] # of the router
mode = "pool"
address = "pool.test"
count = 3
ignore = ["192.0.2.1"]
[[source]]
mode = "server"
address = "b.test"
proxy = "proxy.test"
proxy-user = "somebody"
proxy_password = "opensesame"
[source-defaults]
poll-interval-limits = { min = 5, max = 9 }
[synchronization]
single-step-panic-threshold = { forward = "inf", backward = 20 }
[synchronization.algorithm]
step-threshold = 0.25
[[nts-ke-server]]
listen = "127.0.0.1:4460"
certificate-chain-path = "chain.pem"
private-key-path = "key.pem"
accepted-pool-authentication-tokens = ["a token of mine"]
[keyset]
key-storage-path = "/var/lib/keys"
[observability]
log-path = "/var/log/ntp"
`
	part, err := ClientPart([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "opensesame", "router", "token", "key.pem", "/var", "4460"} {
		if strings.Contains(string(part), secret) {
			t.Errorf("%s is in\n%s", secret, part)
		}
	}
	parse := func(b []byte) ([]Source, Synchronization, Problems) {
		c, problems := Parse("ntp.toml", b)
		for i := range c.Sources {
			c.Sources[i].Table, c.Sources[i].Proxy.Password = Table{}, Secret{}
		}
		c.Synchronization.Table, c.Synchronization.Algorithm.Table = Table{}, Table{}
		return c.Sources, c.Synchronization, problems
	}
	s1, y1, p1 := parse([]byte(text))
	s2, y2, p2 := parse(part)
	if len(p1)+len(p2) > 0 || !reflect.DeepEqual(s1, s2) || !reflect.DeepEqual(y1, y2) {
		t.Errorf("%v %v\n%+v\n%+v\n%+v\n%+v", p1, p2, s1, s2, y1, y2)
	}
	if b, err := ClientPart(nil); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := ClientPart([]byte("x =")); err == nil || !strings.Contains(err.Error(), "cannot be reduced") {
		t.Error(err)
	}
}

// A secret that is added to what sources or the filter know must be concealed.
func TestClientPartKnowsAllSecrets(t *testing.T) {
	n := 0
	var count func(reflect.Type)
	count = func(typ reflect.Type) {
		switch {
		case typ == reflect.TypeFor[Secret]():
			n++
		case typ.Kind() == reflect.Struct && typ != reflect.TypeFor[Table]():
			for f := range typ.Fields() {
				count(f.Type)
			}
		case typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer:
			count(typ.Elem())
		}
	}
	count(reflect.TypeFor[Source]())
	count(reflect.TypeFor[SourceDefaults]())
	count(reflect.TypeFor[Synchronization]())
	if n != len(clientSecrets) {
		t.Errorf("%d secrets, %d are concealed", n, len(clientSecrets))
	}
}
