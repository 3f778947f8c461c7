package pool

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// The example of the original: the first source refuses, the second serves,
// and the log tells it.
func TestTheStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.down = true })
		good := w.add()
		w.start()
		got, err := w.exchange()
		if err != nil {
			t.Fatal(err)
		}
		// The source sent no Server record: the pool inserts its name, and no
		// port.
		if got.Server != "s1.example.net" || !got.ServerNamed || got.Port != 123 || len(got.Cookies) != 8 {
			t.Errorf("%+v", got)
		}
		want := fmt.Sprintf("s1.example.net 15 %x %x", []byte(got.C2S), []byte(got.S2C))
		if string(got.Cookies[0]) != want {
			t.Errorf("cookie of %q, want %q", got.Cookies[0], want)
		}
		if len(good.presents) == 0 || !good.presents[0].Equal(w.own.Certificate) {
			t.Error("the pool did not present its certificate")
		}
		// Of the second client's, what is supported is known already.
		if _, err := w.exchange(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var story []string
		for line := range strings.Lines(w.log.String()) {
			if line, ok := strings.CutPrefix(strings.TrimSpace(line), `level=INFO msg="`); ok && !strings.HasPrefix(line, "time source") {
				story = append(story, line[:strings.Index(line, `"`)]+line[strings.Index(line, `"`)+1:])
			} else if !ok {
				t.Errorf("not an information: %s", line)
			}
		}
		if got, want := strings.Join(story, "\n"), strings.Join([]string{
			"listening on '192.0.2.1:4460'",
			"received records from the client",
			"checking supported algorithms for 's0.example.net:4460'",
			"checking supported algorithms for 's1.example.net:4460'",
			"established connection to the server kept=false",
			"received supported algorithms from the NTS KE server ago=0s",
			"fetching cookies from the NTS KE server",
			"received cookies from the NTS KE server",
			"wrote records for client",
			"received records from the client",
			"checking supported algorithms for 's0.example.net:4460'",
			"checking supported algorithms for 's1.example.net:4460'",
			"established connection to the server kept=false",
			"received supported algorithms from the NTS KE server ago=0s",
			"fetching cookies from the NTS KE server",
			"received cookies from the NTS KE server",
			"wrote records for client",
		}, "\n"); got != want {
			t.Errorf("the log says\n%s\nwant\n%s", got, want)
		}
	})
}

func TestCase28ServerAndPortAreRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.server = nts.Server{NTPServer: "2001:db8::1", NTPPort: 1231} })
		w.start()
		if got, err := w.exchange(); err != nil || got.Server != "2001:db8::1" || got.Port != 1231 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// The answer is made anew: what a source says beyond RFC 8915 does not reach
// the client, and a ninth cookie does not either.
func TestCase27AnswerIsRebuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) {
			s.fixedKey = func(*tls.Conn) []byte {
				return fromHex("0008 0000" + "000e 0003 616263" + "0006 0010 6e7470312e6578616d706c652e6e6574" + "40ff 0002 0102" +
					"000a 0004 000f0020" + "8001 0002 0000" + "0004 0002 000f" + "0007 0002 04cf" +
					strings.Repeat("8005 0008 c0c0c0c0c0c0c0c0", 9) + "0400 0000" + eom)
			}
		})
		w.start()
		w.wantAnswer(ordinary+eom, ordinary+strings.Repeat("0005 0008 c0c0c0c0c0c0c0c0", 8)+
			"8006 0010 6e7470312e6578616d706c652e6e6574 8007 0002 04cf"+eom)
	})
}

// From the first octet of the keys on the client belongs to the source that
// has them: whatever then goes wrong, no other source sees a key.
func TestCase23And26KeysGoToOneSourceAtMost(t *testing.T) {
	const cookie = "0005 0004 01020304"
	say := func(digits string) func(*tls.Conn) []byte {
		return func(*tls.Conn) []byte { return fromHex(digits) }
	}
	for name, misbehave := range map[string]func(*tls.Conn) []byte{
		"reset": func(c *tls.Conn) []byte {
			c.NetConn().(interface{ Reset() }).Reset()
			return nil
		},
		"close": func(*tls.Conn) []byte { return nil },
		"one octet": func(c *tls.Conn) []byte {
			c.Write([]byte{0x80})
			return nil
		},
		"silence": func(*tls.Conn) []byte {
			time.Sleep(30 * time.Second)
			return nil
		},
		"Error 0":               say("8002 0002 0000" + eom),
		"Error 1":               say("8002 0002 0001" + eom),
		"Error 2":               say("8002 0002 0002" + eom),
		"private error":         say("8002 0002 f003" + eom),
		"Warning":               say(ordinary + cookie + "8003 0002 0000" + eom),
		"another algorithm":     say("8001 0002 0000 8004 0002 0011" + cookie + eom),
		"another protocol":      say("8001 0002 8001 8004 0002 000f" + cookie + eom),
		"no overlap after all":  say("8001 0002 0000 8004 0000" + eom),
		"no cookie":             say(ordinary + eom),
		"unknown critical":      say(ordinary + cookie + "c0ff 0000" + eom),
		"critical list":         say(ordinary + cookie + "800a 0000" + eom),
		"two servers":           say(ordinary + cookie + "8006 0001 61 8006 0001 62" + eom),
		"a server with a space": say(ordinary + cookie + "8006 0003 612062" + eom),
		"port 0":                say(ordinary + cookie + "8007 0002 0000" + eom),
		"garbage":               say("dead beef"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				bad := w.add(func(s *source) { s.fixedKey = misbehave })
				others := []*source{w.add(), w.add()}
				w.start()
				w.wantAnswer(ordinary+eom, "8002 0002 0002"+eom)
				if _, keys := bad.count(); keys != 1 {
					t.Errorf("it received the keys %d times", keys)
				}
				for _, s := range others {
					if _, keys := s.count(); keys != 0 {
						t.Errorf("%s was given keys %d times", s.name, keys)
					}
				}
				// The next clients go elsewhere.
				for range 3 {
					if got, err := w.exchange(); err != nil || got.Server == bad.name {
						t.Errorf("%+v, %v", got, err)
					}
				}
			})
		})
	}
}

// Before that, every failure leads to another source, and a source whose TLS
// is wrong does not see a pool's record at all.
func TestCase31AnotherSourceIsPickedBeforeKeysAreSent(t *testing.T) {
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		spoil func(*world, *source)
		asked bool
	}{
		"refuses":      {spoil: func(_ *world, s *source) { s.down = true }},
		"silent":       {spoil: func(w *world, s *source) { w.net.Silence(s.addr) }},
		"name unknown": {spoil: func(_ *world, s *source) { s.name = "unknown.example.net"; s.down = true }},
		"expired": {spoil: func(w *world, s *source) {
			s.leaf = w.ca.Leaf([]string{s.name}, testcert.Valid(year(1995), year(1999)))
		}},
		"wrong name":        {spoil: func(w *world, s *source) { s.leaf = w.ca.Leaf([]string{"other.example.net"}) }},
		"unknown authority": {spoil: func(w *world, s *source) { s.leaf = testcert.NewCA(w.t).Leaf([]string{s.name}) }},
		"TLS 1.2":           {spoil: func(_ *world, s *source) { s.tls = func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 } }},
		"no ALPN":           {spoil: func(_ *world, s *source) { s.tls = func(c *tls.Config) { c.NextProtos = nil } }},
		"plain RFC 8915":    {spoil: func(_ *world, s *source) { s.dialects = nil }, asked: true},
		"Error 2":           {spoil: answerInformation("8002 0002 0002" + eom), asked: true},
		"closes":            {spoil: answerInformation(""), asked: true},
		"no list":           {spoil: answerInformation("0008 0000" + eom), asked: true},
		"only protocols":    {spoil: answerInformation("8009 0002 0000" + eom), asked: true},
		"not NTPv4":         {spoil: answerInformation("8009 0002 8001 800a 0004 000f0020" + eom), asked: true},
		"not our algorithm": {spoil: answerInformation("8009 0002 0000 800a 0004 00110040" + eom), asked: true},
		"wrong key length":  {spoil: answerInformation("8009 0002 0000 800a 0004 000f0010" + eom), asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				bad := w.add()
				c.spoil(w, bad)
				good := w.add()
				w.start()
				began := time.Now()
				got, err := w.exchange()
				if err != nil || got.Server != good.name {
					t.Fatalf("%+v, %v\n%s", got, err, w.log.String())
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("took %v", took)
				}
				info, keys := bad.count()
				if keys != 0 || (info > 0) != c.asked || info > 1 && name != "plain RFC 8915" {
					t.Errorf("it was asked %d times and given keys %d times", info, keys)
				}
			})
		})
	}
}

func answerInformation(digits string) func(*world, *source) {
	return func(_ *world, s *source) { s.information = func() []byte { return fromHex(digits) } }
}

// That no source could be asked is not the same as nothing in common.
func TestNoSourceIsAnInternalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.down = true })
		w.start()
		w.wantAnswer("8001 0002 0000 8004 0002 0063"+eom, "8002 0002 0002"+eom)
		synctest.Wait()
		if log := w.log.String(); !strings.Contains(log, "could not find a valid KE server") {
			t.Errorf("log\n%s", log)
		}
	})
}

// What a client causes goes to the log for strangers, what the operator must
// know to the other.
func TestAcceptFailuresAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add()
		w.start()
		w.listener.FailNext(syscall.EMFILE)
		for range 2 {
			if _, err := w.exchange(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if log := w.log.String(); strings.Count(log, "cannot accept connections for the moment") != 1 || !strings.Contains(log, "too many open files") {
			t.Errorf("log\n%s", log)
		}
	})
}

// A client tries four sources; that all of them fail is no reason to keep it.
func TestPicksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 4 {
			w.add(func(s *source) { s.down = true })
		}
		fifth := w.add()
		w.start()
		w.wantAnswer(ordinary+eom, "8002 0002 0002"+eom)
		if got, err := w.exchange(); err != nil || got.Server != fifth.name {
			t.Errorf("those that failed are tried again: %+v, %v", got, err)
		}
	})
}

func TestSilentSourcesEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.change = func(c *Config) { c.Timeout = 2 * time.Second }
		for range 9 {
			w.net.Silence(w.add().addr)
		}
		w.start()
		began := time.Now()
		w.wantAnswer(ordinary+eom, "8002 0002 0002"+eom)
		if took := time.Since(began); took > 2*time.Second || took < time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCase20Dialects(t *testing.T) {
	for _, c := range []struct {
		name  string
		own   []nts.Dialect
		probe int // information requests until it is understood
		speak nts.Dialect
	}{
		{"IANA", []nts.Dialect{nts.IANA}, 1, nts.IANA},
		{"draft", []nts.Dialect{nts.Draft}, 2, nts.ClientCertificate}, // no token: on the wire the same numbers
		{"first generation", []nts.Dialect{nts.ClientCertificate}, 3, nts.ClientCertificate},
		{"all", []nts.Dialect{nts.IANA, nts.Draft, nts.ClientCertificate}, 1, nts.IANA},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add(func(s *source) { s.dialects = c.own })
				w.start()
				for i := range 3 {
					if _, err := w.exchange(); err != nil {
						t.Fatal(err)
					}
					if info, keys := s.count(); info != c.probe || keys != i+1 {
						t.Errorf("after %d clients: %d questions, %d keys", i+1, info, keys)
					}
				}
				if q := s.fixedKeys()[2]; q.Dialect != c.speak || q.KeepAlive == (c.name == "first generation") || q.Token != nil {
					t.Errorf("fixed key request %+v", q)
				}
				// It is asked again later, in the dialect that it speaks.
				time.Sleep(refreshEvery * 3 / 2)
				if info, _ := s.count(); info != c.probe+1 {
					t.Errorf("%d questions after a while", info)
				}
			})
		})
	}
}

// A server that serves no pool is asked in each dialect once, gets no keys and no
// client, and the log says what may be wrong.
func TestCase20PlainServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		plain := w.add(func(s *source) { s.dialects, s.plain = nil, true })
		other := w.add()
		w.start()
		for range 3 {
			if got, err := w.exchange(); err != nil || got.Server != other.name {
				t.Errorf("%v, %v", got.Server, err)
			}
		}
		asked := 0
		for _, q := range plain.all() {
			if _, ok := q.(nts.Information); ok {
				asked++
			}
		}
		if _, keys := plain.count(); keys != 0 || asked != len(dialects) {
			t.Errorf("%d questions, %d keys", asked, keys)
		}
		if s := w.pool.Status().Sources[0].Families[0]; s.State != StateDown || !strings.Contains(s.Reason, "does not take this pool's token") {
			t.Errorf("%+v", s)
		}
	})
}

// The first generation's messages, octet by octet.
func TestFirstGenerationOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.dialects = []nts.Dialect{nts.ClientCertificate} })
		w.start()
		got, err := w.exchange()
		if err != nil {
			t.Fatal(err)
		}
		question := s.raw[len(s.raw)-2]
		if want := fromHex("c001 0000" + eom); !bytes.Equal(question, want) {
			t.Errorf("asked %x, want %x", question, want)
		}
		keys := fmt.Sprintf("%x%x", []byte(got.C2S), []byte(got.S2C))
		if want := fromHex("8001 0002 0000 0004 0002 000f c002 0040" + keys + eom); !bytes.Equal(s.raw[len(s.raw)-1], want) {
			t.Errorf("asked %x, want %x", s.raw[len(s.raw)-1], want)
		}
	})
}

// A source whose program was changed between two clients is asked again, in
// the other dialect; nobody else sees the keys.
func TestCase21SourceThatWasUpgraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.dialects = []nts.Dialect{nts.Draft} })
		other := w.add()
		w.start()
		notOther := func(r *ke.ClientRequest) { r.Deny = []string{other.name} }
		if _, err := w.exchange(notOther); err != nil {
			t.Fatal(err)
		}
		s.turn(func(s *source) { s.dialects = []nts.Dialect{nts.IANA} })
		got, err := w.exchange(notOther)
		if err != nil || got.Server != s.name {
			t.Fatalf("%+v, %v", got, err)
		}
		var dialects []nts.Dialect
		for _, q := range s.fixedKeys() {
			dialects = append(dialects, q.Dialect)
		}
		if want := []nts.Dialect{nts.ClientCertificate, nts.ClientCertificate, nts.IANA}; !slices.Equal(dialects, want) {
			t.Errorf("keys were sent in %v, want %v", dialects, want)
		}
		if info, keys := other.count(); info+keys != 0 {
			t.Errorf("the other source was asked %d+%d times", info, keys)
		}
	})
}

// A source that cannot be probed within one client's time is probed on by the
// next.
func TestSlowProbingGetsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.dialects = []nts.Dialect{nts.ClientCertificate} })
		s.tls = func(c *tls.Config) {
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				time.Sleep(200 * time.Millisecond)
				return nil, nil
			}
		}
		w.start()
		var err error
		for range 3 {
			if _, err = w.exchange(); err == nil {
				return
			}
		}
		t.Errorf("%v\n%s", err, w.log.String())
	})
}

func TestPoolNeedsSources(t *testing.T) {
	if _, err := New(Config{}); !errors.Is(err, ErrNoSources) {
		t.Errorf("%v", err)
	}
}

// Nothing secret gets into the log of a whole run.
func TestCase48LogHoldsNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.fixedKey = func(*tls.Conn) []byte { return fromHex("8002 0002 0001" + eom) } })
		w.add()
		w.start()
		w.exchange()
		got, err := w.exchange()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, secret := range []string{string(got.C2S), fmt.Sprintf("%x", []byte(got.C2S)), string(got.Cookies[0]), "198.51.100.1"} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the log holds %q", secret)
			}
		}
	})
}

// Our own key-exchange server is a source: the whole way with both ends of
// this module.
func TestOwnServerAsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add(func(s *source) { s.down = true })
		w.start()
		l, err := w.net.Listen(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{s.leaf.TLS}}
		var last string
		server := ke.NewServer(ke.ServerConfig{
			Listener: l, NTPServer: "127.0.0.2",
			TLS:       func() *tls.Config { return config },
			Authorise: ke.NewAuthoriser(nil, []*x509.Certificate{w.own.Certificate}),
			Seal: func() nts.Sealer {
				return func(_ aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
					last = string(c2s) + string(s2c)
					return []byte{1, 2, 3, 4}, nil
				}
			},
		})
		served := make(chan error, 1)
		go func() { served <- server.Serve(t.Context()) }()
		got, err := w.exchange()
		if err != nil || got.Server != "127.0.0.2" || last != string(got.C2S)+string(got.S2C) {
			t.Errorf("%+v, %v\n%s", got, err, w.log.String())
		}
		l.Close()
		<-served
	})
}
