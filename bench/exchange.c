/* Request and response over TCP on one CPU, as netperf's TCP_RR and TCP_CRR do it:
 *   exchange serve PORT
 *   exchange ask|connect ADDRESS PORT TIMES
 * `ask` prints the median microseconds of an exchange of one byte on a connection that is there, `connect` of a connection
 * that is made, used once and closed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int nodelay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static void serve(int port) {
  struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
  int on = 1, off = 0, all = epoll_create1(0), listener = socket(AF_INET6, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(listener, (void *)&at, sizeof at) || listen(listener, 512)) die("listen");
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(all, EPOLL_CTL_ADD, listener, &event);
  while (epoll_wait(all, &event, 1, -1) >= 0) {
    char byte;
    int fd = event.data.fd;
    if (fd == listener) {
      event.data.fd = nodelay(accept(listener, NULL, NULL));
      event.events = EPOLLIN;
      epoll_ctl(all, EPOLL_CTL_ADD, event.data.fd, &event);
    } else if (read(fd, &byte, 1) != 1 || write(fd, &byte, 1) != 1) {
      close(fd);
    }
  }
  die("epoll_wait");
}

static int dial(const char *address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  int fd = nodelay(socket(AF_INET, SOCK_STREAM, 0));
  if (connect(fd, (void *)&to, sizeof to)) die("connect");
  return fd;
}

static void exchange(int fd) {
  char byte = 'x';
  if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) die("exchange");
}

/* The client resets instead of waiting in TIME_WAIT, so that a long bench doesn't run out of ports. */
static void hang_up(int fd) {
  struct linger at_once = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
  sched_setaffinity(0, sizeof one, &one);
  if (argc == 3 && !strcmp(argv[1], "serve")) serve(atoi(argv[2]));
  if (argc != 5) return fprintf(stderr, "exchange serve PORT | ask|connect ADDRESS PORT TIMES\n"), 2;
  int fresh = !strcmp(argv[1], "connect"), times = atoi(argv[4]), port = atoi(argv[3]);
  double *taken = calloc(times, sizeof *taken);
  int fd = dial(argv[2], port);
  for (int i = 0; i < 100; i++) exchange(fd);
  for (int i = 0; i < times; i++) {
    double start = now();
    int one_off = fresh ? dial(argv[2], port) : fd;
    exchange(one_off);
    taken[i] = now() - start;
    if (fresh) hang_up(one_off);
  }
  qsort(taken, times, sizeof *taken, compare);
  printf("%.2f\n", taken[times / 2]);
}
