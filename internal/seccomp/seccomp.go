// Package seccomp builds filters for system calls out of lists of those that
// are allowed, and installs them. A filter lasts as long as the process, and
// holds for all that it starts.
package seccomp
