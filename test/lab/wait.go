package lab

import (
	"context"
	"fmt"
	"time"
)

// Eventually asks again and again until the question is answered without an error, and gives the last error when the
// context ends. The pause between questions is a courtesy to the machine, not a synchronisation.
func Eventually(ctx context.Context, pause time.Duration, question func() error) error {
	for {
		err := question()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting: %w", err)
		case <-time.After(pause):
		}
	}
}
