//go:build !linux

package privilege

// Confine gives up nothing: there is no way here.
func Confine(Needs) (Result, error) { return Result{}, nil }

// Isolate gives up nothing: there is no way here.
func Isolate() (Result, error) { return Result{}, nil }
