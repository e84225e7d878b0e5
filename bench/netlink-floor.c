// The floor under netlink/: the same FDB, route and neighbour messages from a C loop.
// netlink-floor LINK KIND COUNT BATCH ACKS: adds COUNT entries, deletes them, prints nanoseconds a message. ACKS is `each`
// (every message acknowledged, as `ip -batch` and libmnl's examples do) or `last` (of a send only, as netlink/ does). KIND `tunnel`
// is an FDB entry of a VXLAN link and of its bridge in one message. With a further word, only adding is timed, by the
// processor's time.
#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char out[1 << 16], in[1 << 16];
static int fd;
static unsigned sequence;

static void put(struct nlmsghdr *message, int type, const void *data, int length) {
  struct rtattr *attribute = (void *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(length);
  memcpy(RTA_DATA(attribute), data, length);
  message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static void entry(struct nlmsghdr *message, const char *kind, int link, unsigned i, int add) {
  unsigned address = htonl(0x0a000000 | i), remote = htonl(0xc0a80001);
  unsigned char mac[6] = {2, 0, 0, i >> 16, i >> 8, i};
  if (*kind == 'r') {
    struct rtmsg *route = NLMSG_DATA(message);
    message->nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE;
    message->nlmsg_len = NLMSG_LENGTH(sizeof *route);
    *route = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = add ? RTPROT_BOOT : 0,
                            .rtm_scope = add ? RT_SCOPE_LINK : RT_SCOPE_NOWHERE, .rtm_type = add ? RTN_UNICAST : 0};
    put(message, RTA_DST, &address, 4);
    put(message, RTA_OIF, &link, 4);
    return;
  }
  struct ndmsg *neighbour = NLMSG_DATA(message);
  message->nlmsg_type = add ? RTM_NEWNEIGH : RTM_DELNEIGH;
  message->nlmsg_len = NLMSG_LENGTH(sizeof *neighbour);
  *neighbour = (struct ndmsg){.ndm_family = *kind == 'f' ? AF_BRIDGE : AF_INET, .ndm_ifindex = link, .ndm_state = NUD_PERMANENT,
                              .ndm_flags = *kind == 'f' ? NTF_SELF : 0};
  if (*kind == 't') {
    neighbour->ndm_family = AF_BRIDGE;
    neighbour->ndm_state = NUD_NOARP | NUD_REACHABLE;
    neighbour->ndm_flags = NTF_SELF | NTF_MASTER | (add ? NTF_STICKY : 0);
    put(message, NDA_LLADDR, mac, 6);
    put(message, NDA_DST, &remote, 4);
    return;
  }
  if (*kind == 'f') put(message, NDA_LLADDR, mac, 6);
  put(message, NDA_DST, *kind == 'f' ? &remote : &address, 4);
  if (*kind == 'n' && add) put(message, NDA_LLADDR, mac, 6);
}

static void all(const char *kind, int link, unsigned count, unsigned batch, int each, int add) {
  for (unsigned done = 0; done < count;) {
    unsigned size = 0;
    for (unsigned part = 0; part < batch && done < count; part++, done++) {
      struct nlmsghdr *message = (void *)(out + size);
      message->nlmsg_flags = NLM_F_REQUEST | (add ? NLM_F_CREATE | (*kind == 't' ? NLM_F_REPLACE : NLM_F_EXCL) : 0) | (each || part == batch - 1 || done == count - 1 ? NLM_F_ACK : 0);
      message->nlmsg_seq = ++sequence;
      message->nlmsg_pid = 0;
      entry(message, kind, link, done, add);
      size += NLMSG_ALIGN(message->nlmsg_len);
    }
    if (send(fd, out, size, 0) != (ssize_t)size) exit((perror("send"), 1));
    for (;;) {
      if (recv(fd, in, sizeof in, 0) < 0) exit((perror("recv"), 1));
      struct nlmsghdr *answer = (void *)in;
      struct nlmsgerr *error = NLMSG_DATA(answer);
      if (answer->nlmsg_type != NLMSG_ERROR || error->error) exit((fprintf(stderr, "error %d\n", error->error), 1));
      if (answer->nlmsg_seq == sequence) break;
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 6) return fprintf(stderr, "netlink-floor LINK fdb|route|neighbour|tunnel COUNT BATCH each|last [add]\n"), 2;
  int link = if_nametoindex(argv[1]), on = 1;
  unsigned count = atoi(argv[3]), batch = atoi(argv[4]);
  struct timespec start, end;
  fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  clockid_t clock = argc > 6 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  clock_gettime(clock, &start);
  all(argv[2], link, count, batch, *argv[5] == 'e', 1);
  if (argc > 6) clock_gettime(clock, &end);
  all(argv[2], link, count, batch, *argv[5] == 'e', 0);
  if (argc == 6) clock_gettime(clock, &end);
  printf("%.0f\n", ((end.tv_sec - start.tv_sec) * 1e9 + end.tv_nsec - start.tv_nsec) / ((argc > 6 ? 1.0 : 2.0) * count));
}
