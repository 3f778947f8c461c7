package pool

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ntpd-go/ntpd-go/nts"
)

// cases are the 53 that pools of key exchanges are tested by, and what tests
// them. Where a test is not named after its number, it stands in the room that
// the case is about.
var cases = [...]struct{ what, tests string }{
	1:  {"the messages of every generation, octet by octet", "TestVectorsRoundTripAsRecords TestVectorsRoundTripAsValues"},
	2:  {"record 0x4005 has two meanings", "TestCase2TwoMeaningsOf4005 TestDraft4005HasTwoMeanings"},
	3:  {"bodies that should be empty, and lists of odd length", "TestCase3Bodies"},
	4:  {"long requests, and requests in small pieces", "TestCase4LongRequests TestRFC8915Section4LongRequestsInSmallPieces"},
	5:  {"long answers of sources", "TestCase5LongAnswers TestRFC8915Section4LongResponses"},
	6:  {"an unknown critical record costs no source anything", "TestCase6BadRequestsGoNowhere"},
	7:  {"a source says what it supports", "TestCase7Information"},
	8:  {"a source answers in the dialect of the request, and refuses a mixture", "TestCase8Dialects TestDialectsDoNotMix"},
	9:  {"a source knows no strangers, in constant time", "TestCase9Strangers TestAuthoriser"},
	10: {"the token comes first, and may come last", "TestCase10TokenComesFirst TestCase10TokenAnywhere"},
	11: {"eight cookies hold the fixed keys", "TestCase11FixedKeys"},
	12: {"requests with fixed keys that are wrong", "TestCase12And13RequestsThatAreWrong"},
	13: {"mixtures of kinds of requests", "TestCase12And13RequestsThatAreWrong"},
	14: {"a source says its names", "TestCase14Names"},
	15: {"no Keep Alive for ordinary clients", "TestCase15And16KeptConnections TestKeepAliveIsForPools"},
	16: {"no keys are taken out of a kept connection", "TestCase15And16KeptConnections TestNoKeyExchangeOnAKeptConnection"},
	17: {"places for kept connections are few and come back", "TestCase17PlacesForKeptConnections"},
	18: {"rotation of cookie keys during a kept connection", "TestCase18RotationDuringAKeptConnection"},
	19: {"client certificates of the first generation", "TestCase19ClientCertificates"},
	20: {"sources of every generation, and one of none", "TestCase20Dialects TestCase20PlainServer"},
	21: {"a source that was upgraded between two exchanges", "TestCase21SourceThatWasUpgraded"},
	22: {"a source that takes connections and says nothing", "TestCase22SourceThatSwallowsConnections"},
	23: {"a source that resets after it has the keys", "TestCase23And26KeysGoToOneSourceAtMost"},
	24: {"a kept connection that the source has given up", "TestCase24StaleConnection TestCase24StaleConnectionAtAQuestion"},
	25: {"no second request after an answer began", "TestCase25NoSecondRequestAfterAnAnswerBegan"},
	26: {"wrong answers to fixed keys", "TestCase23And26KeysGoToOneSourceAtMost TestNinthCookieIsDropped"},
	27: {"the answer is rebuilt from typed fields", "TestCase27AnswerIsRebuilt"},
	28: {"the server's name is relayed or put in", "TestCase28ServerAndPortAreRelayed"},
	29: {"a source that keeps no connection", "TestCase29SessionsAreResumedUpstreamOnly TestCase29RefusedKeepAliveIsCounted"},
	30: {"many cold clients ask one question", "TestCase30ManyColdClients"},
	31: {"sources without a good certificate never see a pool record", "TestCase31AnotherSourceIsPickedBeforeKeysAreSent"},
	32: {"weights are exact, with and without denied servers", "TestCase32WeightsAreExact TestHealthAndRoundTripEnterTheDraw TestSecondDrawIsExact"},
	33: {"servers are denied by their NTP name, at first contact too", "TestCase33Deny TestCase33DenyAtFirstContact TestCase33NamesAreKnownBeforeTheFirstClient"},
	34: {"everything denied", "TestCase34EverythingDenied"},
	35: {"address families", "TestCase35Families"},
	36: {"places, widened until there is choice, and owners", "TestCase36Tiers TestOwnersAreCapped TestCapIsExact TestGeo"},
	37: {"numbered names of the pool", "TestCase37Shards"},
	38: {"record 1024", "TestCase38CompliantGCMSIV"},
	39: {"negotiation", "TestCase39Negotiation"},
	40: {"who does not speak ntske/1 over TLS 1.3", "TestCase40WhoDoesNotSpeakNTSKE"},
	41: {"the answer is one TLS record and is not lost", "TestCase41OneRecord TestUnreadOctetsDoNotResetTheAnswer"},
	42: {"slow clients", "TestCase42SlowClients"},
	43: {"a full pool", "TestCase43FullPool TestSheddingIsFair TestFloodStarvesNobody"},
	44: {"the same servers denied again and again", "TestCase44RepeatedDenials"},
	45: {"the PROXY protocol", "TestCase45ProxyHeaders TestCase45Balancers TestCase45EndOfInput"},
	46: {"changes while clients come, and the end", "TestCase46SourcesChange TestCase46CertificateIsReplaced TestCase46Drain TestPoolReloads TestPoolReloadsCertificateAndPlaces TestListsThatShrinkAreDoubted"},
	47: {"monitors: there are none, and nobody sees their errors", "TestCase47NoErrorsButThoseOfTheStandard"},
	48: {"nothing secret in logs and status", "TestCase48LogHoldsNoSecrets TestCase48NothingSecretAtAnyLevel TestPoolIsWatched"},
	49: {"a client with more slots than servers", "TestNTSPoolWithTooFewServers TestOneBackOffPerKeyExchangeServer"},
	50: {"a client's back-off by the kind of error", "TestRejectedRequestsAreRetriedSeldom TestOneBackOffPerKeyExchangeServer"},
	51: {"SRV records", "TestCase51RFC2782Weights TestCase51DiscoveryIsSecureOrNothing TestServiceOrderIsByPriority TestServiceFallsBackToTheName TestRFC2782ServiceNotAvailable"},
	52: {"certificates are for the name that was asked", "TestCase52FromRecordsToKeys TestCertificateFailures TestServerNameOverridesHost"},
	53: {"clients behind SOCKS5 proxies", "TestCase53KeysAndTimeThroughAProxy TestCase53NothingGoesRoundTheProxy TestCase53Relay TestCase53Refusals TestRFC1928Section7Fragments"},
}

// faults are those known of pools in use, and what shows that this one has
// none of them.
var faults = [...]struct{ what, tests string }{
	1:  {"record 1024 was not handled, so that clients derived other keys", "TestCase38CompliantGCMSIV"},
	2:  {"Keep Alive was relayed to clients", "TestCase27AnswerIsRebuilt"},
	3:  {"a source's choice of protocol and algorithm was relayed unchecked", "TestCase23And26KeysGoToOneSourceAtMost"},
	4:  {"the PROXY header was believed from anybody, and read for ever", "TestCase45Balancers TestCase45EndOfInput"},
	5:  {"unknown critical records and time-outs were answered by closing", "TestCase6BadRequestsGoNowhere TestCase42SlowClients"},
	6:  {"servers could be denied by the name of their key exchange only", "TestCase33Deny TestCase33DenyAtFirstContact TestCase14Names"},
	7:  {"a source that could not be reached was the client's error", "TestCase31AnotherSourceIsPickedBeforeKeysAreSent"},
	8:  {"a black hole held up all clients", "TestCase22SourceThatSwallowsConnections TestSlowProbingGetsThrough"},
	9:  {"tokens were derived with the wrong secret after a rotation", "TestSourcesOfRecords TestPoolReloads"},
	10: {"old verdicts lasted for ever", "TestDeadSourceReturns TestSuspicionGrowsAndEnds"},
	11: {"a country with one server gave it all clients", "TestCase36Tiers TestWidening"},
	12: {"addresses and cookies in logs", "TestCase48LogHoldsNoSecrets TestCase48NothingSecretAtAnyLevel"},
	13: {"weights were not used in DNS, and answers grew with the pool", "TestSample TestPoolZone"},
	14: {"one place judged all sources; here each pool judges by its own exchanges", "TestSpoilingSourceIsAvoided TestSupportIsRefreshed"},
	15: {"names of places were inconsistent", "TestPlaces"},
	16: {"pages about sources were public; here a socket has permissions", "TestPoolIsWatched"},
	17: {"the documents' examples did not fit the protocol", "TestVectorsRoundTripAsRecords TestTheStory"},
}

func TestEveryCaseHasItsTest(t *testing.T) {
	all := testsOfProject(t)
	numbered := regexp.MustCompile(`^TestCase\d+`)
	listed := make(map[string]bool)
	check := func(what string, n int, names string) {
		for name := range strings.FieldsSeq(names) {
			listed[name] = true
			if !all[name] {
				t.Errorf("%s %d: there is no test %s", what, n, name)
			}
		}
	}
	if len(cases) != 54 || len(faults) != 18 {
		t.Errorf("%d cases and %d faults", len(cases)-1, len(faults)-1)
	}
	for n, c := range cases[1:] {
		check("case", n+1, c.tests)
		if c.what == "" || c.tests == "" {
			t.Errorf("case %d has no test", n+1)
		}
	}
	for n, f := range faults[1:] {
		check("fault", n+1, f.tests)
		if f.what == "" || f.tests == "" {
			t.Errorf("fault %d has no test", n+1)
		}
	}
	for name := range all {
		if numbered.MatchString(name) && !listed[name] { // a number that nobody looks up
			t.Errorf("%s is not listed", name)
		}
	}
}

// testsOfProject finds all test functions.
func testsOfProject(t *testing.T) map[string]bool {
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	all := make(map[string]bool)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(text, -1) {
			all[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Some pools have monitors that ask for a source by a private record, and answer
// them with private errors. Here the record does not exist, and a client sees
// the errors of RFC 8915 only, whatever becomes of its sources.
func TestCase47NoErrorsButThoseOfTheStandard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.down = true })
		w.add(func(s *source) { s.information = func() []byte { return fromHex("8009 0000" + eom) } })
		w.start()
		const uuid = "cf01 0024 30303030303030302d303030302d343030302d383030302d303030303030303030303031"
		for question, want := range map[string]nts.ErrorCode{
			"000e 0007 6d6f6e2d6b6579" + uuid + ordinary + eom: nts.UnrecognizedCriticalRecord,
			uuid + "000e 0007 6d6f6e2d6b6579" + ordinary + eom: nts.UnrecognizedCriticalRecord,
			"8001 0002 0000" + eom:                             nts.BadRequest,
			ordinary + eom:                                     nts.InternalServerError,
		} {
			resp, err := nts.DecodeResponse(w.ask(question))
			if f, ok := resp.(nts.Failure); err != nil || !ok || f.Code != want {
				t.Errorf("%s: %+v, %v, want %v", question, resp, err, want)
			}
		}
	})
}
