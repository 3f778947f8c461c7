/*
 * A preload library for programs that insist on steering the kernel's clock: every call that would change the clock
 * succeeds and changes nothing. Reading still works, so a program sees the machine's true time and kernel state.
 *
 * Build: cc -shared -fPIC -O2 -o fakeclock.so fakeclock.c
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* Answers with the present state and leaves the caller's modes as they were. */
static int read_only(clockid_t clock, struct timex *tx)
{
	unsigned int modes = tx->modes;
	long freq = tx->freq;
	int state;

	tx->modes = 0;
	state = (int)syscall(SYS_clock_adjtime, clock, tx);
	if (modes & ADJ_FREQUENCY)
		tx->freq = freq; /* as the kernel echoes what was set */
	tx->modes = modes;
	return state;
}

int clock_adjtime(clockid_t clock, struct timex *tx)
{
	return read_only(clock, tx);
}

int adjtimex(struct timex *tx)
{
	return read_only(CLOCK_REALTIME, tx);
}

int ntp_adjtime(struct timex *tx)
{
	return read_only(CLOCK_REALTIME, tx);
}

int clock_settime(clockid_t clock, const struct timespec *ts)
{
	(void)clock;
	(void)ts;
	return 0;
}

int settimeofday(const struct timeval *tv, const struct timezone *tz)
{
	(void)tv;
	(void)tz;
	return 0;
}

int adjtime(const struct timeval *delta, struct timeval *old)
{
	(void)delta;
	if (old) {
		old->tv_sec = 0;
		old->tv_usec = 0;
	}
	return 0;
}
