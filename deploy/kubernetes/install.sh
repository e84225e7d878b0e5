#!/bin/sh
# Puts the plugin and its configuration where the node's runtime looks for them, once the daemon can serve; both whole or not at
# all, and neither when nothing is new: every change of the configuration makes the runtime read it again.
# install.sh run: does that, and goes on watching over it. install.sh remove: takes the configuration and the plugin away.
set -eu

bin=${CNI_BIN:-/host/opt/cni/bin}
conf=${CNI_CONF:-/host/etc/cni/net.d}
plugin=${TSNET_CNI:-/opt/tsnet/tsnet-cni}
source=${TSNET_CONFLIST:-/etc/tsnet/cni.conflist}
name=${TSNET_CONFLIST_NAME:-05-tsnet.conflist}

# A rename in the same folder is all that containerd notices of a file that appears. The name meanwhile is none it reads.
place() { # from to mode
  cmp -s "$1" "$2" && return 0
  cp "$1" "$2.tsnet-new"
  chmod "$3" "$2.tsnet-new"
  sync "$2.tsnet-new"
  mv -f "$2.tsnet-new" "$2"
}

# A daemon that answers is ready: it clears up and settles before it listens.
ready() { printf '{"cniVersion":"1.0.0"}' | CNI_COMMAND=VERSION "$plugin" >/dev/null; }

install() {
  mkdir -p "$bin" "$conf"
  place "$plugin" "$bin/tsnet-cni" 755
  place "$source" "$conf/$name" 644
}

case ${1:-run} in
once) ready && install ;;
run)
  trap 'exit 0' TERM INT
  # What is installed stays when this ends: the next daemon goes on, and containers that come meanwhile are told to try again.
  while :; do
    if ready; then install; fi
    sleep 5 &
    wait $!
  done
  ;;
remove) rm -f "$conf/$name" "$bin/tsnet-cni" ;;
*) echo "install.sh: it has to be run, once or remove" >&2; exit 2 ;;
esac
