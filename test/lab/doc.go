// Package lab is the workshop of the suites that run whole programs against each other: hosts that are Linux network
// namespaces, programs started in them behind a private view of the file system, Debian folders with the peers inside,
// a throw-away certificate authority, a name server and patient but bounded waiting.
//
// Two promises hold for everything started through it:
//
//   - No program can touch this machine's clock: the launcher removes CAP_SYS_TIME from every capability set before it
//     executes the program and refuses to go on if that did not work.
//   - Nothing is left behind: namespaces live only as long as the process that holds them, and mounts only in private
//     mount namespaces.
//
// It needs Linux and root. A main that uses it must call Hook first.
package lab
