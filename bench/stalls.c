/* Tells when the machine stood still, as a virtual machine does whose host gives the time to others: a thread on each processor
 * wakes every four milliseconds before anything else may run, and prints `PROCESSOR FROM TO` (microseconds of CLOCK_MONOTONIC) when
 * it woke late. Ends with its standard input. Linux doesn't count all of this as stolen time. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { TICK = 4000, LATE = 1500 };

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void *listen_to(void *arg) {
  long cpu = (long)arg;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  struct sched_param first = {.sched_priority = 50};
  if (sched_setaffinity(0, sizeof set, &set) || sched_setscheduler(0, SCHED_FIFO, &first)) perror("stalls");
  struct timespec tick = {.tv_nsec = TICK * 1000};
  for (long long last = now(), woke;; last = woke) {
    nanosleep(&tick, NULL);
    woke = now();
    if (woke - last > TICK + LATE) printf("%ld %lld %lld\n", cpu, last + TICK, woke);
  }
  return NULL;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  printf("%ld\n", cpus);
  for (long cpu = 0; cpu < cpus; cpu++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, listen_to, (void *)cpu)) return 1;
  }
  char byte;
  while (read(0, &byte, 1) > 0) continue;
  return 0;
}
