// Starts programs as a container runtime does and measures them: spawn NETNS. Each line of standard input is one round of jobs that
// run at once, separated by \x1f; fields by \t: program, file for stdin, file for stdout, then variables. It answers a line:
// microseconds until all are done, then of each job its own, those of CPU (children included), and its exit code.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 64
struct job {
  pid_t pid;
  long begin, wall, cpu;
  int code;
};

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void start(struct job *job, char *words) {
  char *field[MOST] = {0}, *rest;
  int count = 0;
  for (char *each = strtok_r(words, "\t", &rest); each && count < MOST - 1; each = strtok_r(NULL, "\t", &rest)) field[count++] = each;
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, field[1], O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, field[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
  char *argv[] = {field[0], NULL};
  job->begin = now();
  if (posix_spawn(&job->pid, field[0], &files, NULL, argv, field + 3)) exit(3);
  posix_spawn_file_actions_destroy(&files);
}

static void wait_for(struct job *jobs, int count) {
  for (int left = count; left > 0;) {
    struct rusage usage;
    int status;
    pid_t pid = wait4(-1, &status, 0, &usage);
    for (int i = 0; i < count; i++) {
      if (jobs[i].pid != pid) continue;
      jobs[i].wall = now() - jobs[i].begin;
      jobs[i].cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
      jobs[i].code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      left--;
    }
  }
}

int main(int count, char **argument) {
  char *line = NULL, *rest;
  size_t room = 0;
  int there = count > 1 ? open(argument[1], O_RDONLY | O_CLOEXEC) : -1;
  if (there < 0 || setns(there, CLONE_NEWNET)) return 2;
  while (getline(&line, &room, stdin) > 0) {
    struct job jobs[MOST] = {0};
    int number = 0;
    line[strcspn(line, "\n")] = 0;
    long begin = now();
    for (char *each = strtok_r(line, "\x1f", &rest); each && number < MOST; each = strtok_r(NULL, "\x1f", &rest)) start(jobs + number++, each);
    wait_for(jobs, number);
    printf("%ld", now() - begin);
    for (int i = 0; i < number; i++) printf(" %ld %ld %d", jobs[i].wall, jobs[i].cpu, jobs[i].code);
    printf("\n");
    fflush(stdout);
  }
  return 0;
}
