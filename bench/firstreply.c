/* When does an address answer? firstreply ADDRESS MILLISECONDS: pings every half a millisecond, says `ready` when it begins and
 * then the microsecond since 1970 of the first reply, or nothing when none came in time. */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static unsigned short sum(const void *data, int words) {
  const unsigned short *word = data;
  unsigned total = 0;
  while (words--) total += *word++;
  return ~((total & 0xffff) + (total >> 16));
}

static int isReply(const unsigned char *packet, ssize_t length, unsigned short id) {
  const struct icmphdr *icmp = (const void *)(packet + (packet[0] & 15) * 4);
  return length >= (packet[0] & 15) * 4 + (ssize_t)sizeof *icmp && icmp->type == ICMP_ECHOREPLY && icmp->un.echo.id == id;
}

int main(int argc, char **argv) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  if (argc < 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return fprintf(stderr, "firstreply ADDRESS MILLISECONDS\n"), 2;
  int icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), timer = timerfd_create(CLOCK_MONOTONIC, 0);
  if (icmp < 0 || timer < 0) return perror("socket"), 1;
  struct itimerspec every = {{0, 500000}, {0, 1}};
  timerfd_settime(timer, 0, &every, NULL);
  struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = htons(getpid() & 0xffff)};
  struct pollfd both[] = {{icmp, POLLIN, 0}, {timer, POLLIN, 0}};
  setbuf(stdout, NULL);
  puts("ready");
  for (double end = now() + atof(argv[2]) * 1e3; now() < end;) {
    unsigned char packet[1500];
    unsigned long long ticks;
    poll(both, 2, 100);
    if (both[0].revents && isReply(packet, recv(icmp, packet, sizeof packet, MSG_DONTWAIT), echo.un.echo.id))
      return printf("%.0f\n", now()), 0;
    if (!both[1].revents || read(timer, &ticks, sizeof ticks) < 0) continue;
    echo.un.echo.sequence++;
    echo.checksum = 0;
    echo.checksum = sum(&echo, sizeof echo / 2);
    sendto(icmp, &echo, sizeof echo, 0, (void *)&to, sizeof to); // what has no way yet is lost, as it would be for anybody
  }
  return 1;
}
