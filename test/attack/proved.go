package main

import "github.com/ntpd-go/ntpd-go/test/scene"

// Rows that need virtual days, a wrong clock of their own, or the inside of a handler: tests of the packages make these
// attacks. A row passes when every test that it names has run and passed.
var provedRows = []scene.Row{
	scene.Proved("T31", true, "clocks that jump between two readings of a start and the first polls, or at any other moment",
		"proto/engine TestAClockThatJumpsBetweenAnyTwoReadings", "proto/kalman TestNothingBreaksTheDiscipline TestForeignStep", "clock TestForeignSteeringChangesNothing", "proto/client TestClockMovedInFlight TestImpossibleDelays"),
	scene.Proved("T40", true, "wrong AES-SIV: vectors, empty input, every length, every bit",
		"proto/aead TestRFC5297Examples TestSealAgreesWithRFC5297 TestLengths TestEveryLengthAgreesWithMiscreant TestEmptyAdditionalDataIsAComponent TestAnyChangedBitIsDetected FuzzAgainstMiscreant"),
	scene.Proved("T41", true, "keys derived otherwise than peers do",
		"nts TestRFC8915Section5_1KeyContexts", "proto/aead TestPeersPacketsOpen", "proto/cookie TestCookiesOfNtpdRsOpenAndAreSealedAlike"),
	scene.Proved("T61", false, "a clock that somebody else steps (`make vm` sets that of a machine by two hours beneath a daemon, and by seconds beneath the clock's own tests)",
		"proto/kalman TestForeignStep TestUnannouncedStepIsNoticed", "clock TestWatchNoticesAForeignStep TestWatchIgnoresLeapSeconds", "proto/client TestClockMovedInFlight"),
	scene.Proved("T62", false, "suspends of hours", "proto/kalman TestSuspend", "proto/engine TestSuspendedMachineAsksAtOnce"),
	scene.Proved("T65", false, "the ends of eras", "proto/kalman TestEraRollover TestOffsetsAcrossTheEra", "proto TestDifferencesAcrossTheEraAreRight TestUnixNear"),
	scene.Proved("T83", false, "what is left in the kernel after every kind of end (`make vm` looks at a kernel when its clock is closed, when a daemon is killed and started again, and at its time after a panic)",
		"clock TestSystemIsLeftAloneOnceClosed TestSystemStatus TestSystemTakesOver TestSystemEndsASlewThatTheKernelHeldOnTo", "daemon TestKilledDuringASlew"),
	scene.Later("T66", "a receiver whose weeks have rolled over", "reference clocks bring this row"),
	scene.Later("T68", "NTPv5 headers", "NTPv5 brings this row"),
	scene.Later("T69", "interleaved mode", "interleaved mode brings this row"),
	scene.Later("T70", "a forged upgrade to NTPv5", "NTPv5 brings this row"),
}
