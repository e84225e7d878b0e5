// All the C there is: a socket in any network namespace, send and receive, a doorbell, a bound port, a link's frames, and bpf(2).
// Every function answers a number; a negative one is an errno, which native.ts turns into a NetlinkError.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <node_api.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_ARGUMENTS 5
#define ARGUMENTS(count)                                                                                     \
  napi_value argument[MAX_ARGUMENTS];                                                                        \
  size_t given = count;                                                                                      \
  napi_get_cb_info(env, info, &given, argument, NULL, NULL)

static int number(napi_env env, napi_value value) {
  int result = 0;
  napi_get_value_int32(env, value, &result);
  return result;
}

static void *bytes(napi_env env, napi_value value, size_t *length) {
  void *data = NULL;
  *length = 0;
  napi_get_buffer_info(env, value, &data, length);
  return data;
}

static napi_value answer(napi_env env, int result) {
  napi_value value;
  napi_create_int32(env, result, &value);
  return value;
}

static int or_errno(int result) { return result < 0 ? -errno : result; }

// A thread left in the wrong namespace would program the wrong machine from then on: better no process at all.
static int socket_there(const char *path, int domain, int type, int protocol) {
  if (!*path) return or_errno(socket(domain, type | SOCK_CLOEXEC, protocol));
  int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  int fd = here < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0 ? -errno : 0;
  if (fd == 0) {
    fd = or_errno(socket(domain, type | SOCK_CLOEXEC, protocol));
    if (setns(here, CLONE_NEWNET) < 0) {
      perror("netlink: cannot return to the thread's own network namespace");
      abort();
    }
  }
  if (here >= 0) close(here);
  if (there >= 0) close(there);
  return fd;
}

static int with_namespace(napi_env env, napi_value value, int domain, int type, int protocol) {
  char path[4096] = "";
  size_t length;
  if (napi_get_value_string_utf8(env, value, path, sizeof path, &length) != napi_ok) return -EINVAL;
  return length == sizeof path - 1 ? -ENAMETOOLONG : socket_there(path, domain, type, protocol);
}

// enter(path): the calling thread moves to a network namespace for good
static napi_value enter(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  char path[4096] = "";
  size_t length;
  if (napi_get_value_string_utf8(env, argument[0], path, sizeof path, &length) != napi_ok) return answer(env, -EINVAL);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0) return answer(env, -errno);
  int result = or_errno(setns(there, CLONE_NEWNET));
  close(there);
  return answer(env, result);
}

static int enable(int fd, int option) {
  int on = 1;
  return setsockopt(fd, SOL_NETLINK, option, &on, sizeof on);
}

static void set_buffer(int fd, int force, int plain, int size) {
  if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) < 0)
    setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

// open(protocol, namespace or '', receive buffer, send buffer, seconds to wait) -> fd
static napi_value open_socket(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  int fd = with_namespace(env, argument[1], AF_NETLINK, SOCK_RAW, number(env, argument[0]));
  if (fd < 0) return answer(env, fd);
  struct sockaddr_nl any = {.nl_family = AF_NETLINK}; // port 0: any for ourselves, the kernel for the other end
  struct timeval patience = {.tv_sec = number(env, argument[4])};
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, number(env, argument[2]));
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, number(env, argument[3]));
  if (enable(fd, NETLINK_EXT_ACK) || enable(fd, NETLINK_CAP_ACK) || enable(fd, NETLINK_GET_STRICT_CHK) ||
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
      bind(fd, (struct sockaddr *)&any, sizeof any) ||
      // Connected, it takes messages from the kernel alone (netlink_getsockbyportid in net/netlink/af_netlink.c).
      connect(fd, (struct sockaddr *)&any, sizeof any)) {
    int error = errno;
    close(fd);
    return answer(env, -error);
  }
  return answer(env, fd);
}

// join(fd, group)
static napi_value join(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int group = number(env, argument[1]);
  return answer(env, or_errno(setsockopt(number(env, argument[0]), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
                                         sizeof group)));
}

// grow(fd, send buffer in bytes)
static napi_value grow(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  set_buffer(number(env, argument[0]), SO_SNDBUFFORCE, SO_SNDBUF, number(env, argument[1]));
  return answer(env, 0);
}

// The length is the datagram's own, also when the buffer was too small.
static int take(int fd, void *data, size_t room, int flags) {
  int length;
  do length = recv(fd, data, room, flags | MSG_TRUNC);
  while (length < 0 && errno == EINTR);
  return or_errno(length);
}

// receive(fd, buffer, wait) -> length of the datagram
static napi_value receive(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  size_t room;
  void *data = bytes(env, argument[1], &room);
  return answer(env, take(number(env, argument[0]), data, room, number(env, argument[2]) ? 0 : MSG_DONTWAIT));
}

// exchange(fd, request, its length, buffer) -> length of the first datagram of the answer
static napi_value exchange(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  size_t room, limit;
  int fd = number(env, argument[0]);
  void *request = bytes(env, argument[1], &limit);
  size_t length = number(env, argument[2]);
  void *data = bytes(env, argument[3], &room);
  if (length > limit) return answer(env, -EINVAL);
  if (send(fd, request, length, 0) < 0) return answer(env, -errno);
  return answer(env, take(fd, data, room, 0));
}

// bindPort(protocol, namespace or '', address, port, v6only) -> fd of a socket that is bound and never listens
static napi_value bind_port(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  size_t length;
  void *address = bytes(env, argument[2], &length);
  int protocol = number(env, argument[0]), port = htons(number(env, argument[3]));
  int only = number(env, argument[4]), domain = length == 16 ? AF_INET6 : AF_INET;
  int fd = with_namespace(env, argument[1], domain, protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, protocol);
  if (fd < 0) return answer(env, fd);
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = port};
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = port};
  memcpy(domain == AF_INET6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr, address, domain == AF_INET6 ? 16 : 4);
  int failed = domain == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) ||
                                        bind(fd, (struct sockaddr *)&six, sizeof six)
                                  : bind(fd, (struct sockaddr *)&four, sizeof four);
  int error = errno;
  if (failed) close(fd);
  return answer(env, failed ? -error : fd);
}

// portOf(fd) -> the port it is bound to
static napi_value port_of(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  struct sockaddr_in6 self;
  socklen_t size = sizeof self;
  if (getsockname(number(env, argument[0]), (struct sockaddr *)&self, &size) < 0) return answer(env, -errno);
  return answer(env, ntohs(self.sin6_port)); // the port lies at the same place in both families
}

// frames(namespace or '', ifindex, EtherType, classic BPF program) -> fd of a socket for whole frames of one link
static napi_value frames(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  size_t length;
  void *code = bytes(env, argument[3], &length);
  struct sock_fprog program = {.len = length / sizeof(struct sock_filter), .filter = code};
  struct sockaddr_ll link = {.sll_family = AF_PACKET,
                             .sll_ifindex = number(env, argument[1]),
                             .sll_protocol = htons(number(env, argument[2]))};
  // Protocol 0 hears nothing until it is bound, and by then the filter is in place.
  int fd = with_namespace(env, argument[0], AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) return answer(env, fd);
  if ((program.len && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)) ||
      bind(fd, (struct sockaddr *)&link, sizeof link)) {
    int error = errno;
    close(fd);
    return answer(env, -error);
  }
  return answer(env, fd);
}

// send(fd, frame) -> bytes sent
static napi_value send_frame(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  size_t length;
  void *frame = bytes(env, argument[1], &length);
  return answer(env, or_errno(send(number(env, argument[0]), frame, length, MSG_DONTWAIT)));
}

// bpf(command, memory, bytes of union bpf_attr at its start, places): at each place lies an offset into memory that becomes a pointer
static napi_value call_bpf(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  size_t room, count;
  char *memory = bytes(env, argument[1], &room);
  unsigned char *place = bytes(env, argument[3], &count);
  for (size_t i = 0; i < count; i++) {
    unsigned long offset;
    if (place[i] + sizeof offset > room) return answer(env, -EINVAL);
    memcpy(&offset, memory + place[i], sizeof offset);
    offset += (unsigned long)memory;
    memcpy(memory + place[i], &offset, sizeof offset);
  }
  return answer(env, or_errno(syscall(SYS_bpf, number(env, argument[0]), memory, number(env, argument[2]))));
}

// libuv's poll is not part of Node-API and net.Socket refuses AF_NETLINK: one small thread waits for datagrams and rings.
struct bell {
  int epoll, wake;
  pthread_t thread;
  napi_threadsafe_function ring;
};

static void *wait_for_datagrams(void *data) {
  struct bell *bell = data;
  struct epoll_event event;
  for (;;) {
    if (epoll_wait(bell->epoll, &event, 1, -1) < 0) continue;
    if (event.data.fd == bell->wake) return NULL;
    napi_call_threadsafe_function(bell->ring, NULL, napi_tsfn_nonblocking); // queue of one: rings coalesce
  }
}

static void silence(void *data) {
  struct bell *bell = data;
  eventfd_write(bell->wake, 1);
  pthread_join(bell->thread, NULL);
  napi_release_threadsafe_function(bell->ring, napi_tsfn_abort);
  close(bell->epoll);
  close(bell->wake);
  free(bell);
}

static void ring(napi_env env, napi_value callback, void *context, void *data) {
  napi_value self;
  if (!env) return;
  napi_get_undefined(env, &self);
  napi_call_function(env, self, callback, 0, NULL, NULL);
}

static int add(struct bell *bell, int fd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
  return epoll_ctl(bell->epoll, EPOLL_CTL_ADD, fd, &event);
}

static napi_value stop(napi_env env, napi_callback_info info) {
  void *bell;
  napi_get_cb_info(env, info, NULL, NULL, NULL, &bell);
  napi_remove_env_cleanup_hook(env, silence, bell);
  silence(bell);
  return NULL;
}

// watch(fd, callback) -> function that ends it, to be called once; the callback runs after datagrams or an overrun
static napi_value watch(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  napi_value name, result;
  struct bell *bell = calloc(1, sizeof *bell);
  bell->epoll = epoll_create1(EPOLL_CLOEXEC);
  bell->wake = eventfd(0, EFD_CLOEXEC);
  napi_create_string_utf8(env, "netlink", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, argument[1], NULL, name, 1, 1, NULL, NULL, NULL, ring, &bell->ring);
  if (add(bell, number(env, argument[0])) || add(bell, bell->wake) ||
      pthread_create(&bell->thread, NULL, wait_for_datagrams, bell)) {
    napi_throw_error(env, NULL, "netlink: cannot watch the socket");
    return NULL;
  }
  napi_add_env_cleanup_hook(env, silence, bell);
  napi_create_function(env, "stop", NAPI_AUTO_LENGTH, stop, bell, &result);
  return result;
}

NAPI_MODULE_INIT() {
  const struct {
    const char *name;
    napi_callback run;
  } functions[] = {{"open", open_socket}, {"enter", enter},        {"join", join},
                   {"grow", grow},        {"receive", receive},    {"exchange", exchange},
                   {"watch", watch},      {"bindPort", bind_port}, {"portOf", port_of},
                   {"bpf", call_bpf},     {"frames", frames},     {"send", send_frame}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].run, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}
