package main

// Packages whose tests look at several guards.
const (
	client  = "./proto/client"
	server  = "./proto/server"
	proto   = "./proto"
	kalman  = "./proto/kalman"
	engine  = "./proto/engine"
	nts     = "./nts"
	ke      = "./nts/ke"
	pool    = "./nts/pool"
	daemon  = "./daemon"
	sealing = "./proto/aead"
)

// guards are the checks whose absence made the attacks that are known succeed.
var guards = []guard{
	{"origin match", []edit{{"proto/client/receive.go", "case x.nonce == 0 || r.nonce != x.nonce:", "case x.nonce == 0:"}}, []string{client, engine}, "T12|T13"},
	{"single use of a request", []edit{{"proto/client/receive.go", "case !x.open || x.answered:", "case !x.open:"}}, []string{client}, "T12"},
	{"unique identifier match", []edit{{"proto/client/receive.go",
		"if r.uniqueIDs != 1 || subtle.ConstantTimeCompare(r.uniqueID, x.uniqueID[:]) != 1 {",
		"if r.uniqueIDs != 1 || subtle.ConstantTimeCompare(r.uniqueID, x.uniqueID[:]) > 1 {"}}, []string{client}, "T11"},
	{"authenticator of replies", []edit{{"proto/client/receive.go",
		"if err != nil {\n\t\treturn BadAuthenticator\n\t}", "_ = err"}}, []string{client, engine}, "T11"},
	{"authenticator of requests", []edit{{"proto/server/protected.go",
		"inner, err = aead.OpenField(r.plaintext[:0], payload, m.auth, &r.client)\n\tif err != nil {",
		"inner, err = aead.OpenField(r.plaintext[:0], payload, m.auth, &r.client)\n\tif err != nil && len(payload) == 0 {"}}, []string{server}, "T10"},
	{"tag of AES-SIV", []edit{{"proto/aead/siv.go", "subtle.ConstantTimeCompare(", "1 | subtle.ConstantTimeCompare("}}, []string{sealing}, "T10"},
	{"cookies in the clear", []edit{{"proto/client/receive.go",
		"for f := range proto.Inner(plaintext) {",
		"for f := range proto.Fields(datagram[proto.HeaderLen:], proto.HeaderLen, proto.MinFieldLen) {\n\t\tif f.Type == proto.FieldCookie {\n\t\t\ta.store(f.Value)\n\t\t}\n\t}\n\tfor f := range proto.Inner(plaintext) {"}}, []string{client}, "T11"},
	{"mode of requests", []edit{{"proto/server/request.go",
		"if proto.Mode(payload[0]&7) != proto.ModeClient {",
		"if m := proto.Mode(payload[0] & 7); m != proto.ModeClient && m != proto.ModeServer {"}}, []string{server}, "T04|T06"},
	{"mode of replies", []edit{{"proto/client/ntpv4.go", "case p.Mode != proto.ModeServer:", "case p.Mode == 0:"}}, []string{client}, "T13"},
	{"version of requests", []edit{{"proto/server/request.go", "if !accept.Has(payload[0] >> 3 & 7) {", "if accept == 0 {"}}, []string{server}, "T06"},
	{"lengths of extension fields", []edit{{"proto/extension.go",
		"if n < minLen || n%4 != 0 || n > len(b) {", "if n < fieldHeaderLen || n > len(b) {"}}, []string{proto, server, client}, "T10"},
	{"lengths within the authenticator", []edit{{"proto/nts.go",
		"if pad4(n)+pad4(c) > len(body) {", "if n+c > len(body) {"}}, []string{proto, sealing, server, client}, "T08"},
	{"placeholder cap", []edit{{"proto/server/protected.go",
		"min(1+m.placeholders+hidden, maxCookies)", "1+m.placeholders+hidden"}}, []string{server}, "T07"},
	{"size of cookies", []edit{{"proto/client/association.go",
		"return len(c) > 0 && len(c) <= maxCookieLen", "return len(c) >= 0"}}, []string{client, engine}, "T21"},
	{"response no longer than the request: placeholders", []edit{{"proto/server/request.go",
		"if f.Type == proto.FieldCookiePlaceholder && len(f.Value) == length {", "if f.Type == proto.FieldCookiePlaceholder && length > 0 {"}}, []string{server}, "T05|T07"},
	{"response no longer than the request: padding", []edit{
		{"proto/server/request.go", "return err == nil && padding >= proto.AuthenticatorPadding(len(nonce))", "return err == nil && padding+len(nonce) >= 0"},
		{"proto/aead/field.go", "if mode == proto.ModeClient && padding < proto.AuthenticatorPadding(len(nonce)) {", "if mode == proto.ModeClient && padding < 0 {"},
	}, []string{server, sealing}, "T08"},
	{"origin of kisses", []edit{{"proto/client/receive.go",
		"// 3. Origin: one reply to the one request in flight.",
		"if r.kiss && a.keys == nil {\n\t\treturn a.kissed(r.code)\n\t}\n\t// 3. Origin."}}, []string{client}, "T15"},
	{"NAKs wait for the truth", []edit{{"proto/client/receive.go", "x.nak = true\n", "x.nak, a.nak = true, true\n\t\t\ta.jar = cookie.Jar{}\n"},
		{"proto/client/receive.go", "\"github.com/ntpd-go/ntpd-go/proto/aead\"\n", "\"github.com/ntpd-go/ntpd-go/proto/aead\"\n\t\"github.com/ntpd-go/ntpd-go/proto/cookie\"\n"}}, []string{client, engine}, "T16"},
	{"no plain request without cookies", []edit{{"proto/client/poll.go",
		"if a.keys != nil && q.cookie == nil {", "if a.keys != nil && q.cookie == nil && q.nonce == 0 {"}}, []string{client, engine}, "T16"},
	{"application protocol of clients", []edit{{"nts/ke/front.go",
		"if p.state.NegotiatedProtocol != nts.ALPN && (f.Leaf == nil || !f.Leaf(p.Leaf)) {",
		"if p.state.NegotiatedProtocol != nts.ALPN && p.state.NegotiatedProtocol != \"\" {"}}, []string{ke}, "T19"},
	{"application protocol of servers", []edit{{"nts/ke/conn.go",
		"if conn.state.NegotiatedProtocol != nts.ALPN {",
		"if conn.state.NegotiatedProtocol != nts.ALPN && conn.state.NegotiatedProtocol != \"\" {"}}, []string{ke}, "T19"},
	{"least version of TLS", []edit{{"nts/ke/wire.go",
		"c.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS13", "c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS13"}}, []string{ke}, "T19"},
	{"validity of certificates", []edit{{"nts/ke/conn.go",
		"Time:       c.Now,",
		"Time:       c.Now,\n\t\tInsecureSkipVerify: true,\n\t\tVerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {\n\t\t\tleaf, err := x509.ParseCertificate(raw[0])\n\t\t\tif err != nil {\n\t\t\t\treturn err\n\t\t\t}\n\t\t\tmore := x509.NewCertPool()\n\t\t\tfor _, der := range raw[1:] {\n\t\t\t\tif c, err := x509.ParseCertificate(der); err == nil {\n\t\t\t\t\tmore.AddCert(c)\n\t\t\t\t}\n\t\t\t}\n\t\t\t_, err = leaf.Verify(x509.VerifyOptions{DNSName: target.name(), Roots: target.Roots, Intermediates: more, CurrentTime: leaf.NotAfter})\n\t\t\tif err != nil {\n\t\t\t\terr = &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: err}\n\t\t\t}\n\t\t\treturn err\n\t\t},"}}, []string{ke}, "T20"},
	{"length of key-exchange messages", []edit{
		{"nts/ke/wire.go", "if len(msg)+len(head) > limit {", "if limit == 0 {"},
		{"nts/ke/wire.go", "if len(msg)+n > limit {", "if limit == 0 {"},
	}, []string{ke}, "T23"},
	{"deadline of key exchanges", []edit{{"nts/ke/peer.go",
		"p.deadline = time.Now().Add(p.timeout)\n", "p.deadline = time.Now().Add(p.timeout + time.Hour)\n"}}, []string{ke}, "T18"},
	{"turns of handshakes go round the networks", []edit{{"nts/ke/turns.go",
		"t.round.MoveToBack(first)", "_ = first"}}, []string{ke}, ""},
	{"who waits too long for a turn is told", []edit{{"nts/ke/turns.go",
		"time.NewTimer(t.patience)", "time.NewTimer(t.patience + time.Hour)"}}, []string{ke}, ""},
	{"late networks stay outside", []edit{{"nts/ke/fair.go",
		"if f.Turns != nil && f.Turns.Late(network) {", "if f.Turns == nil && f.most < 0 {"}}, []string{ke}, ""},
	{"keys go to one source of a pool", []edit{{"nts/pool/handover.go", "if h.spent {", "if h.spent && h.export == nil {"}}, []string{pool}, ""},
	{"keys go to the source that they are bound to", []edit{{"nts/pool/handover.go",
		"if conn.leg.member != c.to {", "if conn.leg.member == nil {"}}, []string{pool}, ""},
	{"fragments through a proxy", []edit{{"daemon/netio/socks.go",
		"b[0] != 0 || b[1] != 0 || b[2] != 0", "b[0] != 0 || b[1] != 0"}}, []string{"./daemon/netio"}, ""},
	{"number of key exchanges at once", []edit{{"nts/ke/front.go",
		"free := make(chan struct{}, f.Connections)", "free := make(chan struct{}, f.Connections+100000)"}}, []string{ke}, ""},
	{"clients of one /64 are one", []edit{{"proto/server/limiter.go",
		"return binary.BigEndian.Uint64(b[:8])", "return binary.BigEndian.Uint64(b[:8]) ^ binary.BigEndian.Uint64(b[8:])"}}, []string{server}, "T38"},
	{"a part of limited requests is answered", []edit{{"proto/server/limiter.go",
		"case l.leak.sum(l.leakN.Add(1))%l.leakOneIn == 0:", "case l.leak.sum(l.leakN.Add(1))%l.leakOneIn > l.leakOneIn:"}}, []string{server}, "T38"},
	{"panic threshold", []edit{{"proto/kalman/steer.go",
		"case threshold > 0 && size >= threshold:", "case threshold > 0 && size < 0:"}}, []string{kalman, engine}, "T28"},
	{"panic threshold of all steps", []edit{{"proto/kalman/steer.go",
		"if step && d.corrected && d.set.AccumulatedSteps > 0 &&", "if step && d.corrected && d.set.AccumulatedSteps < 0 &&"}}, []string{kalman, engine}, "T67"},
	{"a panic outlives restarts", []edit{{"proto/engine/panic.go", "if e.caution.on {\n\t\tc.StartupStep", "if e.caution.on && e.caution.told {\n\t\tc.StartupStep"}}, []string{engine}, ""},
	{"a panic is written down", []edit{{"daemon/saved.go", "if st.Panicked {\n\t\tc.PanickedBoot = bootID()\n\t}", ""}}, []string{daemon}, ""},
	{"no time before the program was made", []edit{{"proto/engine/panic.go",
		"if floor.IsZero() || step == 0 || to.Sub(floor) >= 0 {", "if !floor.IsZero() || step == 0 || to.Sub(floor) >= 0 {"}}, []string{engine}, "T29"},
	{"keys go with the algorithm that was offered", []edit{{"nts/ke/client.go",
		"if !slices.Contains(req.Algorithms, a.Algorithm) || !a.Algorithm.Supported() {", "if !slices.Contains(req.Algorithms, a.Algorithm) && !a.Algorithm.Supported() {"}}, []string{ke}, "T22"},
	{"a key set is whole", []edit{{"proto/cookie/file.go", "case len(raw) != keyLen*int(n):", "case len(raw) < keyLen*int(n):"}}, []string{"./proto/cookie"}, "T81"},
	{"a panic ends one connection", []edit{{"nts/ke/guard.go", "if fault := recover(); fault != nil {", "if fault := any(nil); fault != nil {"}}, []string{ke}, ""},
	{"place of a kept connection after a panic", []edit{{"nts/ke/server.go", "defer func() {\n\t\tif kept {", "defer func() {\n\t\tif kept && ctx.Err() != nil {"}}, []string{ke}, ""},
	{"frames of the key exchange are bounded", []edit{{"daemon/apart/wire.go", "if uint64(n) > uint64(limit) {", "if uint64(n) > 1<<40 {"}}, []string{"./daemon/apart"}, ""},
	{"a handed over socket outlives the daemon", []edit{{"daemon/netio/server_adopt_linux.go", "s.adopted = true", "s.adopted = fd < 0"}}, []string{"./daemon/netio"}, ""},
	{"minority of liars", []edit{{"proto/kalman/survey.go", "2*agreeing > voters", "2*agreeing > 0"}}, []string{kalman}, "T27"},
}
