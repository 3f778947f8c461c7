// Package apart serves the key exchange with strangers in a process of its own.
// TLS, certificates and records of anybody's making are the largest and most
// intricate thing that a server meets, and whoever gets through them should be
// nowhere near the clock.
//
// [Host] is the daemon's side: it starts the process, hands it listening
// sockets, settings, certificates and the newest cookie key, and starts it
// again when it dies. [Main] is the process: it gives up all capabilities, all
// files and all other sockets before it reads a secret or meets a client, and
// it ends when the daemon does.
//
// They speak over a socket pair, in frames of a version, a type, a length and
// a body (wire.go). What the process counts lies in memory that both see, so
// that nothing is lost when it dies. It knows tokens and certificates of pools
// by their digests only, and no cookie key but the one that seals.
package apart
