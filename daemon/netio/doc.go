// Package netio is the daemon's contact with the network: sockets whose
// datagrams carry kernel timestamps, name resolution, and news of address and
// route changes.
//
// Timestamps here are what the kernel says: CLOCK_REALTIME, whatever clock the
// daemon steers. Result.Event moves them onto the steered timescale.
package netio
