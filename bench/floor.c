// The least that a CNI plugin can do, with which a runtime's own time shows: answers ADD with an address that nobody has.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
  const char *command = getenv("CNI_COMMAND"), *sandbox = getenv("CNI_NETNS");
  if (command && !strcmp(command, "ADD"))
    printf("{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"%s\"}],"
           "\"ips\":[{\"address\":\"10.95.0.2/16\",\"gateway\":\"10.95.0.1\",\"interface\":0}]}\n",
           sandbox ? sandbox : "");
  return 0;
}
