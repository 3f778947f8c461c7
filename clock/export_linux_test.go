package clock

// Bridges for tests in package clock_test, which cannot be in this package
// because clocktest imports it.

// Kernel is what a System runs on.
type Kernel = kernel

// NewSystemOn takes control of a kernel's clock.
func NewSystemOn(k Kernel) (*System, error) { return newSystem(k) }
