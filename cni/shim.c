// tsnet-cni: what a container runtime starts for each CNI verb. It hands the environment and standard input to tsnetd and prints what
// comes back. It adds deadlines, a DEL that waits on disk while the daemon is away, and errors of its own; it knows no more of CNI.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET "/run/tsnet/tsnet.sock"
#define SPOOL "spool"
// Bytes of standard input: a list of all attachments of a node comes with GC.
#define LARGEST (8 << 20)
// SPEC.md, "Error".
enum { ENVIRONMENT = 4, INPUT = 5, TRY_AGAIN = 11, NOT_READY = 50 };

// Milliseconds that a verb waits for a daemon that isn't there, and from then on for its answer. A runtime that waits for us answers nobody
// else meanwhile (containerd), and gives up by itself after 30 s (CRI-O's GC) to 2 min (kubelet's ADD).
static const struct verb {
  const char *name;
  int patience, deadline, code;
} verbs[] = {{"ADD", 5000, 10000, TRY_AGAIN}, {"DEL", 0, 2000, TRY_AGAIN},    {"CHECK", 250, 2000, TRY_AGAIN},
             {"GC", 250, 25000, TRY_AGAIN},   {"STATUS", 5000, 2000, NOT_READY}, {"VERSION", 0, 1000, TRY_AGAIN}};

struct text {
  char *bytes;
  size_t length, room;
};

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void reserve(struct text *text, size_t more) {
  if (text->length + more < text->room) return;
  text->room = (text->length + more) * 2 + 4096;
  text->bytes = realloc(text->bytes, text->room);
  if (!text->bytes) abort();
}

static void append(struct text *text, const char *bytes, size_t length) {
  reserve(text, length + 1);
  memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
  text->bytes[text->length] = 0;
}

static void say(struct text *text, const char *words) { append(text, words, strlen(words)); }

// A JSON string (RFC 8259, section 7).
static void quote(struct text *text, const char *bytes, size_t length) {
  char escape[8];
  say(text, "\"");
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = bytes[i];
    if (byte == '"' || byte == '\\') append(text, "\\", 1);
    if (byte >= ' ') append(text, bytes + i, 1);
    else append(text, escape, snprintf(escape, sizeof escape, "\\u%04x", byte));
  }
  say(text, "\"");
}

// Prints an error of our own and ends.
__attribute__((format(printf, 2, 3))) static void fail(int code, const char *format, ...) {
  char words[512];
  struct text out = {0};
  va_list rest;
  va_start(rest, format);
  vsnprintf(words, sizeof words, format, rest);
  va_end(rest);
  quote(&out, words, strlen(words));
  printf("{\"cniVersion\":\"1.0.0\",\"code\":%d,\"msg\":%s}\n", code, out.bytes);
  exit(1);
}

static void read_all(int fd, struct text *text, size_t limit) {
  for (;;) {
    reserve(text, 65536);
    ssize_t got = read(fd, text->bytes + text->length, 65536);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text->length += got;
    if (text->length > limit) fail(INPUT, "tsnet-cni: standard input has more than %zu bytes", limit);
  }
  text->bytes[text->length] = 0;
}

// {"env":{"CNI_…":"…"},"stdin":"…"}
static struct text request(char **environment) {
  struct text input = {0}, body = {0};
  int any = 0;
  read_all(STDIN_FILENO, &input, LARGEST);
  say(&body, "{\"env\":{");
  for (; *environment; environment++) {
    char *value = strchr(*environment, '=');
    if (!value || strncmp(*environment, "CNI_", 4)) continue;
    if (any++) say(&body, ",");
    quote(&body, *environment, value - *environment);
    say(&body, ":");
    quote(&body, value + 1, strlen(value + 1));
  }
  say(&body, "},\"stdin\":");
  quote(&body, input.bytes, input.length);
  say(&body, "}");
  return body;
}

// The daemon's socket, tried until `end`; -1 with errno when nobody listens.
static int dial(const char *path, long end) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail(ENVIRONMENT, "tsnet-cni: TSNET_API is too long: %s", path);
  strcpy(address.sun_path, path);
  for (;;) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (!connect(fd, (struct sockaddr *)&address, sizeof address)) {
      fcntl(fd, F_SETFL, 0);
      return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    if (now() >= end) return -1;
    usleep(20000);
  }
}

static void folder_of(const char *path, char *folder, size_t room) {
  const char *slash = strrchr(path, '/');
  snprintf(folder, room, "%.*s", slash ? (int)(slash - path) : 0, path);
}

// How long a verb waits for a daemon that isn't there. A kubelet takes the pods of a node that isn't ready out of their services, so STATUS
// waits for one that restarts; not since a boot before the first: it may be the kubelet that starts it, once it has been answered.
static int patience(const struct verb *verb, const char *socket) {
  char folder[4096];
  folder_of(socket, folder, sizeof folder);
  return verb->code == NOT_READY && access(folder, F_OK) ? 0 : verb->patience;
}

// Each read and write waits for what is left until `end`.
static void patient(int fd, long end) {
  long left = end - now();
  if (left < 1) left = 1;
  struct timeval time = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

static int send_all(int fd, const struct text *text, long end) {
  for (size_t at = 0; at < text->length;) {
    patient(fd, end);
    ssize_t sent = send(fd, text->bytes + at, text->length - at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return -1;
    at += sent;
  }
  return 0;
}

// Where the body of a whole answer of HTTP begins; NULL while there is more to come.
static char *body_of(const struct text *answer) {
  char *gap = strstr(answer->bytes, "\r\n\r\n"), *length = gap ? strcasestr(answer->bytes, "\r\ncontent-length: ") : NULL;
  return length && length < gap && strlen(gap + 4) == strtoul(length + 18, NULL, 10) ? gap + 4 : NULL;
}

// Not up to the end of the connection, which the daemon has yet to close.
static char *receive_body(int fd, struct text *text, long end) {
  for (;;) {
    reserve(text, 65536);
    patient(fd, end);
    ssize_t got = recv(fd, text->bytes + text->length, 65536, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || now() > end) return NULL;
    text->length += got;
    text->bytes[text->length] = 0;
    char *body = body_of(text);
    if (body) return body;
  }
}

// Status of HTTP, and in `body` what it says; 0 when no whole answer came.
static int ask(int fd, const struct text *question, long end, char **body) {
  static struct text answer;
  struct text head = {0};
  char line[160];
  int status = 0;
  append(&head, line, snprintf(line, sizeof line,
                               "POST /Cni HTTP/1.1\r\nHost: tsnet\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                               question->length));
  append(&head, question->bytes, question->length);
  if (send_all(fd, &head, end)) return 0;
  *body = receive_body(fd, &answer, end);
  return *body && sscanf(answer.bytes, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

// Writes the request where the daemon finds it: whole, on disk and under a name that stands for the attachment, or not at all.
static void spool(const char *socket, const struct text *body) {
  const char *id = getenv("CNI_CONTAINERID"), *ifname = getenv("CNI_IFNAME");
  char folder[4096], draft[4400], path[4400];
  if (!id || !ifname || strchr(id, '/') || strchr(ifname, '/') || strlen(id) > 200 || strlen(ifname) > 15)
    fail(ENVIRONMENT, "tsnet-cni: CNI_CONTAINERID and CNI_IFNAME have to be names");
  folder_of(socket, folder, sizeof folder);
  mkdir(folder, 0755);
  snprintf(folder + strlen(folder), sizeof folder - strlen(folder), "/" SPOOL);
  mkdir(folder, 0700);
  snprintf(draft, sizeof draft, "%s/.%s@%s.%d", folder, id, ifname, getpid());
  snprintf(path, sizeof path, "%s/%s@%s.del", folder, id, ifname);
  int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  int there = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || there < 0 || write(fd, body->bytes, body->length) != (ssize_t)body->length || fsync(fd) ||
      rename(draft, path) || fsync(there)) {
    int error = errno;
    unlink(draft);
    fail(TRY_AGAIN, "tsnet-cni: tsnetd is away and DEL can't be put off in %s: %s", folder, strerror(error));
  }
}

static const struct verb *chosen(const char *command) {
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (!strcmp(verbs[i].name, command)) return verbs + i;
  fail(ENVIRONMENT, "tsnet-cni: CNI_COMMAND can't be \"%s\": it has to be ADD, DEL, CHECK, GC, STATUS or VERSION", command);
  return NULL;
}

int main(int count, char **arguments, char **environment) {
  const char *command = getenv("CNI_COMMAND"), *path = getenv("TSNET_API");
  (void)count, (void)arguments;
  if (!path || !*path) path = SOCKET;
  const struct verb *verb = chosen(command ? command : "");
  int isDel = !strcmp(verb->name, "DEL");
  struct text body = request(environment);
  char *answer = "";
  int fd = dial(path, now() + patience(verb, path));
  int reason = errno, status = fd < 0 ? 0 : ask(fd, &body, now() + verb->deadline, &answer);
  if (status == 200 || status == 422) {
    if (strcmp(answer, "{}")) puts(answer);
    return status == 200 ? 0 : 1;
  }
  if (isDel) {
    spool(path, &body);
    return 0;
  }
  if (fd < 0) fail(verb->code, "tsnet-cni: tsnetd doesn't answer at %s: %s", path, strerror(reason));
  if (status == 0) fail(verb->code, "tsnet-cni: tsnetd didn't answer %s within %d ms, or died", verb->name, verb->deadline);
  fail(verb->code, "tsnet-cni: tsnetd answered %d: %.300s", status, answer);
}
