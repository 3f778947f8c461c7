/* The least that a server of plain NTP does: it receives and sends 64 packets a
 * system call and turns each request into a response. There is no access list,
 * no limit, no statistics and no clock to keep. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, ROOM = 2048, NTP = 48 };

static struct mmsghdr in[BATCH], out[BATCH];
static struct iovec from[BATCH], to[BATCH];
static struct sockaddr_in who[BATCH];
static unsigned char packet[BATCH][ROOM];

/* stamp is the time since 1900 in units of 2^-32 s, in network order. */
static uint64_t stamp(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return htobe64((((uint64_t)t.tv_sec + 2208988800u) << 32) + (((uint64_t)t.tv_nsec << 32) / 1000000000u));
}

static void answer(unsigned char *p, uint64_t now)
{
	p[0] = 4 << 3 | 4;                    /* version 4, server */
	p[1] = 1;                             /* stratum */
	p[3] = (unsigned char)-20;            /* precision */
	memcpy(p + 12, "LOCL", 4);            /* reference */
	memcpy(p + 24, p + 40, 8);            /* origin */
	memcpy(p + 16, &now, 8);              /* last set */
	memcpy(p + 32, &now, 8);              /* received */
	memcpy(p + 40, &now, 8);              /* sent */
}

int main(int argc, char **argv)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	int room = 4 << 20, s = socket(AF_INET, SOCK_DGRAM, 0);

	here.sin_port = htons(argc > 1 ? atoi(argv[1]) : 123);
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	if (bind(s, (struct sockaddr *)&here, sizeof here) != 0) {
		perror("bind");
		return 1;
	}
	for (int i = 0; i < BATCH; i++) {
		from[i] = (struct iovec){ packet[i], ROOM };
		in[i].msg_hdr = (struct msghdr){ .msg_name = &who[i], .msg_iov = &from[i], .msg_iovlen = 1 };
	}
	for (;;) {
		for (int i = 0; i < BATCH; i++)
			in[i].msg_hdr.msg_namelen = sizeof who[i];
		int n = recvmmsg(s, in, BATCH, MSG_WAITFORONE, NULL), ready = 0;
		uint64_t now = stamp();
		for (int i = 0; i < n; i++) {
			if (in[i].msg_len < NTP)
				continue;
			answer(packet[i], now);
			to[ready] = (struct iovec){ packet[i], NTP };
			out[ready].msg_hdr = (struct msghdr){ .msg_name = &who[i], .msg_namelen = sizeof who[i], .msg_iov = &to[ready], .msg_iovlen = 1 };
			ready++;
		}
		for (int sent = 0; sent < ready;) {
			int k = sendmmsg(s, out + sent, ready - sent, 0);
			sent += k > 0 ? k : 1;
		}
	}
}
