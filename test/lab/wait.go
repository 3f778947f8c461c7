package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Final marks an error after which asking again is pointless.
type Final struct{ Err error }

func (f Final) Error() string { return f.Err.Error() }
func (f Final) Unwrap() error { return f.Err }

// Eventually asks again and again until the question is answered without an error, and gives the last error when the
// context ends, or at once when the error is Final. The pause between questions is a courtesy to the machine, not a synchronisation.
func Eventually(ctx context.Context, pause time.Duration, question func() error) error {
	for {
		err := question()
		if err == nil {
			return nil
		}
		if final := (Final{}); errors.As(err, &final) {
			return final.Err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting: %w", err)
		case <-time.After(pause):
		}
	}
}
