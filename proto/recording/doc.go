// Package recording is the form in which a run of the daemon is kept, so that
// it can be replayed: everything that went into the engine and everything that
// came out of it, and no secret.
//
// A recording is text of one JSON object a line. The first line is a Head: the
// ntp.toml of the client side without its comments, the state that was saved
// and the time. Each line after it is a Step: the time, the event that was
// handled (none where a deadline had passed), the random octets that were
// drawn, and the actions that came of it. The last line says why the recording
// ended; it is missing when the daemon was killed.
//
// Keys and cookies of Network Time Security are replaced by others of the same
// length, and packets are sealed again under these. So a replay authenticates
// what the daemon authenticated and refuses what it refused, and nobody who
// reads the file can do either with the real keys. What replaces a secret is a
// pseudorandom function of it, under a key that is drawn for the recording and
// kept nowhere. Addresses, names, and when servers were asked are in the file.
package recording
