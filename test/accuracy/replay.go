package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/ntpd-go/ntpd-go/internal/sim"
)

// rerun lets the engine of today go its own way with a recording.
func rerun(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := sim.Rerun(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Println("today's engine with the recorded packets; errors are its own estimate, in the second half of the run")
	fmt.Println(sim.Header())
	fmt.Println(sim.Summarise([]*sim.Result{r.Result}).Line())
	fmt.Printf("its clock is apart from the recorded one by %.3f µs RMS, %.3f µs at most, in %d lines\n", r.ApartRMS*1e6, r.Apart*1e6, r.Lines)
	if r.Stopped != "" {
		fmt.Println("it went no further: " + r.Stopped)
	}
	return nil
}

// replay feeds a recording of the daemon to the engine of today and prints its
// figures. That the two differ is an error.
func replay(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := sim.Replay(f)
	if r == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	end := r.End
	if end == "" {
		end = "it was cut off, or the daemon killed"
	}
	fmt.Printf("%s: recorded by %s for %.0f s; the end: %s\n", name, r.Program, r.Result.Scenario.Duration, end)
	fmt.Println("errors are the engine's own estimate, in the second half of the run")
	fmt.Println(sim.Header())
	fmt.Println(sim.Summarise([]*sim.Result{r.Result}).Line())
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w (%d lines before it are identical)", name, err, r.Lines)
	case r.Differs != nil:
		return fmt.Errorf("%s: %w: %v", name, errDiffers, r.Differs)
	}
	fmt.Printf("replay: identical, %d lines\n", r.Lines)
	return nil
}

var errDiffers = errors.New("the replay differs")
