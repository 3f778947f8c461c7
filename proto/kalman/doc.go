// Package kalman is the clock filter: it turns what the sources say into an
// estimate of the clock's error and frequency, decides which sources to
// believe and how to steer. It never touches a clock; it returns decisions
// and is told what was really applied.
package kalman
