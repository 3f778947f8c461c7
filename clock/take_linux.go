package clock

import "golang.org/x/sys/unix"

// Take takes control of the clock: it ends what the kernel was doing to it on
// behalf of others, and keeps the frequency at which it runs. Until SetStatus
// says otherwise the clock is unsynchronised. Nothing can be applied before.
func (c *System) Take() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if _, err := c.look(); err != nil {
		return err
	}
	// What is left of a correction is kept even where the discipline that was
	// given it is off. The kernel takes a zero for it only while it is on.
	takeover := []unix.Timex{
		{Modes: unix.ADJ_OFFSET_SINGLESHOT},
		{Modes: unix.ADJ_STATUS | unix.ADJ_OFFSET, Status: unix.STA_PLL | unix.STA_UNSYNC},
		c.status(unix.ADJ_FREQUENCY|unix.ADJ_TICK, c.plan.base),
	}
	for i := range takeover {
		if _, err := c.kernel.Adjtime(&takeover[i]); err != nil {
			return explain("adjust", err)
		}
	}
	c.ran, c.taken = int64(takeover[len(takeover)-1].Freq), true
	return nil
}

// refusal is why the clock cannot be steered now, nil if it can.
func (c *System) refusal() error {
	switch {
	case c.closed:
		return ErrClosed
	case !c.taken:
		return ErrNotTaken
	}
	return nil
}

// Meddled reports that someone else steers the clock too: the kernel runs it
// at another frequency, s/s, than it was last told here, or adjusts it by a
// discipline of its own. Steps are the business of Watch.
func (c *System) Meddled() (frequencyNow float64, meddled bool) {
	const disciplines = unix.STA_PLL | unix.STA_FLL | unix.STA_PPSFREQ | unix.STA_PPSTIME
	c.mu.Lock()
	defer c.mu.Unlock()
	var t unix.Timex
	if c.refusal() != nil {
		return 0, false
	}
	if _, err := c.kernel.Adjtime(&t); err != nil {
		return 0, false
	}
	return frequency(&t), int64(t.Freq) != c.ran || t.Tick != nominalTick || t.Status&disciplines != 0
}
