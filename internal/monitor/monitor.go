// Package monitor lets the monitor of Go's runtime sleep.
//
// The monitor is a thread that takes the place of a goroutine that waits in a
// system call, or runs for too long, and gives it to another. To be there in
// time it sleeps for 20 µs only, up to fifty times whenever a goroutine enters
// a system call after all of them have rested. A server of short connections
// rests between almost any two of them, and so the monitor wakes thousands of
// times a second, and each time interrupts the goroutine that works.
package monitor
