package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Rows that need virtual days, a wrong clock of their own, or the inside of a handler: tests of the packages make these
// attacks, each beside an undisturbed case. A row passes when every test that it names has run and passed.
var provedRows = []scene.Row{
	proved("T31", true, "clocks that jump between any two readings",
		"proto/kalman TestNothingBreaksTheDiscipline TestForeignStep", "clock TestForeignSteeringChangesNothing", "proto/client TestClockMovedInFlight TestImpossibleDelays"),
	proved("T40", true, "wrong AES-SIV: vectors, empty input, every length, every bit",
		"proto/aead TestRFC5297Examples TestSealAgreesWithRFC5297 TestLengths TestEmptyAdditionalDataIsAComponent TestAnyChangedBitIsDetected FuzzAgainstMiscreant"),
	proved("T41", true, "keys derived otherwise than peers do",
		"nts TestRFC8915Section5_1KeyContexts", "proto/aead TestPeersPacketsOpen", "proto/cookie TestCookiesOfNtpdRsOpenAndAreSealedAlike"),
	proved("T51", false, "a key exchange that is down for hours, with and without NAKs",
		"proto/engine TestEverythingIsDown TestForgedNAKs TestNAKsBesideAnswersCauseNoKeyExchange TestNTSHoldsEightCookies"),
	proved("T52", false, "key exchanges that fail for virtual days: how often are they tried?",
		"proto/engine TestKeyExchangeBacksOff TestKeyRetryIntervals TestOneBackOffPerKeyExchangeServer TestRetryIntervalIsResetByUse TestKeysThatNeverProveGoodBackOffAsOne"),
	proved("T53", false, "certificates that expire, are replaced, or become unreadable",
		"nts/ke TestCertificateFailures TestCertificateOfTheMoment TestKeyPairMistakes TestServerCertificateWarnings"),
	proved("T58", false, "pool members that die or never answer",
		"proto/engine TestPoolReplacesTheDead TestPoolKeepsCountOfDistinctServers TestSmallPoolStillReplacesItsMembers"),
	proved("T59", false, "plain liars that outnumber servers with NTS",
		"proto/kalman TestAuthenticatedSourcesOutvoteOthers TestAuthenticatedSourcesNeedAMajorityOfTheirOwn TestOthersDoNotAnnounceALeapSecond"),
	proved("T61", false, "a clock that somebody else steps",
		"proto/kalman TestForeignStep TestUnannouncedStepIsNoticed", "clock TestWatchNoticesAForeignStep TestWatchIgnoresLeapSeconds", "proto/client TestClockMovedInFlight"),
	proved("T62", false, "suspends of hours", "proto/kalman TestSuspend", "proto/engine TestSuspendedMachineAsksAtOnce"),
	proved("T64", false, "leap flags of a minority, in a wrong month, and real leap seconds",
		"proto/kalman TestLeapVote TestLeapSecondPasses TestMonthDay TestUnannouncedSecondIsMeddling"),
	proved("T65", false, "the ends of eras", "proto/kalman TestEraRollover TestOffsetsAcrossTheEra", "proto TestDifferencesAcrossTheEraAreRight TestUnixNear"),
	proved("T71", false, "PROXY headers that lie, break off or come from strangers", "nts/pool TestCase45ProxyHeaders TestCase45Balancers TestCase45EndOfInput"),
	proved("T73", false, "a pool's source that fails before and after it has the client's keys",
		"nts/pool TestCase23And26KeysGoToOneSourceAtMost TestCase31AnotherSourceIsPickedBeforeKeysAreSent TestHandoverCanBeUsedOnce TestHandoverIsUsedUpByAFailure"),
	proved("T79", false, "access lists against a naive one, IPv4 in IPv6 included", "proto/server TestAccessList TestRangesAgreeWithPrefixes TestAccess"),
	proved("T82", false, "another time daemon beside this one", "clock TestWatchNoticesAForeignStep TestWatchIgnoresForeignFrequencies", "daemon/observe TestAnAnsweringSocketIsNotTakenOver"),
	proved("T83", false, "what is left in the kernel after every kind of end",
		"clock TestSystemIsLeftAloneOnceClosed TestSystemStatus TestSystemTakesOver TestSystemEndsASlewThatTheKernelHeldOnTo", "daemon TestKilledDuringASlew"),
	later("T63", "a machine without a clock and certificates that are not valid yet", "the bounded cold start is not built yet; `make vm` shows a boot in 1970"),
	later("T66", "a receiver whose weeks have rolled over", "reference clocks bring this row"),
	later("T68", "NTPv5 headers", "NTPv5 brings this row"),
	later("T69", "interleaved mode", "interleaved mode brings this row"),
	later("T70", "a forged upgrade to NTPv5", "NTPv5 brings this row"),
	later("T81", "key files with odd lines", "there are no symmetric keys, and no key file of theirs to parse"),
	later("T85", "everything again behind system call filters", "the sandbox is the unit's: systemd is not here to start it"),
	later("T86", "interoperation with every peer", "`make interop` is this row"),
	later("T88", "a ceiling for memory", "memory cgroups cannot be made here; rows T01, T17, T32, T39 and T87 bound memory instead"),
	later("T89", "leaks over hours", "`make soak` is this row"),
	later("T90", "data races", "`make race` is this row, for every change"),
	later("T91", "known vulnerabilities and forbidden calls", "`make vuln`, `make lint` and internal/archtest are this row"),
	later("T92", "what fuzzing finds", "`make fuzz` is this row"),
	later("T93", "guards whose removal nothing misses", "`make mutate` is this row"),
	later("T94", "a processor that is busy", "two shared processors cannot show the accuracy of stamps; `make accuracy` simulates it"),
	later("T95", "ten thousand clients at once for a day", "not built yet"),
}

// later is a row that cannot run here, and why.
func later(id, what, why string) scene.Row {
	return scene.Row{ID: id, What: what, Prove: func(t *scene.Trial) { t.Skip("%s", why) }}
}

// proved is a row of tests: each text is a package and the names of tests in it.
func proved(id string, p0 bool, what string, tests ...string) scene.Row {
	return scene.Row{ID: id, P0: p0, What: what, Limit: 6 * time.Minute, Prove: func(t *scene.Trial) {
		var all []string
		for _, text := range tests {
			names := strings.Fields(text)
			t.Check(runTests(t, names[0], names[1:]))
			all = append(all, names[1:]...)
		}
		t.Control("%d tests ran, each with an undisturbed case", len(all))
		t.Saw("%s", strings.Join(all, ", "))
	}}
}

// runTests runs tests of a package by name and wants all of them to pass.
func runTests(t *scene.Trial, pkg string, names []string) error {
	cmd := exec.CommandContext(t.Context, "go", "test", "-json", "-run", "^("+strings.Join(names, "|")+")$", "./"+pkg)
	cmd.Dir = t.Root
	out, runErr := cmd.Output()
	var passed []string
	var said strings.Builder
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for decoder.More() {
		var e struct{ Action, Test, Output string }
		if err := decoder.Decode(&e); err != nil {
			return err
		}
		said.WriteString(e.Output)
		if e.Action == "pass" && e.Test != "" {
			passed = append(passed, e.Test)
		}
	}
	if runErr != nil {
		text := said.String()
		return fmt.Errorf("tests of %s: %w: %s", pkg, runErr, text[max(0, len(text)-600):])
	}
	for _, name := range names {
		if !slices.Contains(passed, name) {
			return fmt.Errorf("%s has no test %s, or it was skipped", pkg, name)
		}
	}
	return nil
}
