# make        builds dist/, after installing what the build needs
# make run    builds and runs the daemon in the foreground
# make test   installs what the tests need and runs the tests, on real Docker engines, 20.10 and 28.5, too: the first run fetches them
#             (700 MB unpacked, into .cache/)
# make test-quick, make test-docker   those without and those with Docker engines
# make rootfs   assembles dist/plugin, which `docker plugin create` takes; make plugin makes the managed plugin from it
# make install   puts the daemon, its service and `tsnet` on this machine and starts it; DESTDIR=folder only puts them there
# make test-kubernetes   runs pods on a Kubernetes of three nodes; make kubernetes builds one before (half an hour, into .cache/)
# make test-arm64   runs the CNI shim for arm64, emulated, through its conformance and fault tests
# make test-vm   runs the suites whose kinds of links this kernel may lack (ipvlan, VLANs) on a Docker engine under another kernel
# make vm-kernel   builds a kernel for that which has IPVS, too (a quarter of an hour, into .cache/): then SUITES=swarm
# make fuzz   feeds the daemon's ears with damaged captures, MINUTES=60 for an hour; a failure prints what brings it back
# make bench  prints ratios against the peers

node := node_modules/.bin/node
mocha := $(node) node_modules/mocha/bin/mocha.js
# Name of the managed plugin that `make plugin` makes.
PLUGIN ?= tsnet
sources := $(shell find bin cli cni core dhcp driver gossip ipam kernel modes names netlink store vxlan-fdb -name '*.ts' -not -path '*/node_modules/*')

# Debian packages of the commands that are missing here: `command:package` pairs.
missing = $(foreach pair,$(1),$(if $(shell command -v $(firstword $(subst :, ,$(pair)))),,$(lastword $(subst :, ,$(pair)))))
to_build := npm:npm cc:gcc cc:libc6-dev
# Node's own build needs it and brings it not.
to_build += $(if $(shell /sbin/ldconfig -p | grep libatomic.so.1),,libatomic.so.1:libatomic1)
to_test := nft:nftables openssl:openssl ping:iputils-ping /usr/lib/cni/bridge:containernetworking-plugins socat:socat iptables:iptables serf:serf ps:procps conntrack:conntrack strace:strace dnsmasq:dnsmasq-base busybox:busybox-static ip:iproute2 unshare:util-linux
to_bench := iperf3:iperf3

define install
	@set -e; packages="$(call missing,$(1))"; [ -z "$$packages" ] || { \
	  command -v apt-get >/dev/null || { echo "$$packages: missing here; please install these Debian packages or their like." >&2; exit 1; }; \
	  [ "$$(id -u)" = 0 ] || { echo "$$packages: missing here; install them with 'sudo apt-get install $$packages'." >&2; exit 1; }; \
	  apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$packages; }
endef

.PHONY: all run install rootfs plugin test test-quick test-docker kubernetes test-kubernetes test-arm64 test-vm vm-kernel check fuzz bench clean
all: dist/tsnetd dist/tsnet dist/tsnet-cni

# `npm ci` refuses a lock file without the packages of platforms that the registry at hand doesn't offer.
node_modules/.package-lock.json: package.json package-lock.json netlink/package.json
	$(call install,$(to_build))
	npm install --no-save --no-audit --no-fund --loglevel=error
	@touch $@

netlink/dist/netlink.node: netlink/socket.c node_modules/.package-lock.json
	@mkdir -p $(@D)
	cc -O2 -Wall -Wextra -Wno-unused-parameter -shared -fPIC -pthread -Inode_modules/node-api-headers/include -o $@ $<

absent := $(addsuffix =./bin/absent.cjs,$(addprefix --alias:,ssh2 @grpc/grpc-js @grpc/proto-loader protobufjs tar-fs))

# The folder is whole in itself: copy it anywhere. The two bundles are the daemon and the thread that talks to the kernel.
dist/tsnetd: $(sources) bin/launcher bin/absent.cjs netlink/dist/netlink.node dist/node
	@mkdir -p dist
	node_modules/.bin/esbuild tsnetd=bin/tsnetd.ts kernel-worker=kernel/worker.ts --bundle --minify-syntax --minify-whitespace --platform=node --format=esm --target=node26 \
	  --outdir=dist --metafile=dist/bundle.json --log-level=warning --legal-comments=linked $(absent) \
	  --banner:js="import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);"
	@install netlink/dist/netlink.node dist/
	@install bin/launcher $@

dist/tsnet: $(sources) bin/launcher dist/node
	@mkdir -p dist
	node_modules/.bin/esbuild bin/tsnet.ts --bundle --minify-syntax --minify-whitespace --platform=node --format=esm --target=node26 --outdir=dist --log-level=warning
	@install bin/launcher $@

# Static, for it is copied into whatever a node has in /opt/cni/bin.
dist/tsnet-cni: cni/shim.c node_modules/.package-lock.json
	@mkdir -p $(@D)
	cc -O2 -static -s -Wall -Wextra -o $@ $<

# The same for another machine.
CC_arm64 ?= aarch64-linux-gnu-gcc
dist/tsnet-cni-%: cni/shim.c
	@mkdir -p $(@D)
	$(CC_$*) -O2 -static -s -Wall -Wextra -o $@ $<

# For `docker load` and `ctr -n k8s.io images import`.
dist/tsnet-image.tar: all deploy/kubernetes/image.sh deploy/kubernetes/install.sh
	deploy/kubernetes/image.sh dist $@
.PHONY: image
image: dist/tsnet-image.tar

dist/node: node_modules/.package-lock.json
	@mkdir -p dist/lib
	@install $(node) $@
	@install -m 644 "$$(/sbin/ldconfig -p | sed -n 's/.*libatomic.so.1 .* => //p' | head -n 1)" dist/lib/

run: all
	@[ "$$(id -u)" = 0 ] || { echo "tsnetd changes the host's network, so it runs as root: use 'sudo make run'." >&2; exit 1; }
	@command -v dockerd >/dev/null || [ -S /var/run/docker.sock ] || { echo "Docker is missing: get it with 'apt-get install docker.io', then 'make run' again." >&2; exit 1; }
	exec dist/tsnetd

# Settings that are there stay. A daemon that runs is replaced: containers notice nothing.
install: all
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" = 0 ] || { echo "tsnetd runs as root: use 'sudo make install'." >&2; exit 1; }
	install -d $(DESTDIR)/opt/tsnet $(DESTDIR)/etc/tsnet $(DESTDIR)/etc/systemd/system $(DESTDIR)/usr/local/bin
	cp -R --remove-destination dist/tsnetd dist/tsnet dist/tsnet-cni dist/node dist/lib dist/*.js dist/netlink.node $(DESTDIR)/opt/tsnet/
	install -m 644 deploy/tsnetd.service deploy/tsnetd.socket $(DESTDIR)/etc/systemd/system/
	[ -e $(DESTDIR)/etc/tsnet/tsnetd.env ] || install -m 600 deploy/tsnetd.env $(DESTDIR)/etc/tsnet/
	ln -sf /opt/tsnet/tsnet $(DESTDIR)/usr/local/bin/tsnet
	[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || { systemctl daemon-reload; systemctl enable --now tsnetd.socket tsnetd; systemctl restart tsnetd; }

# Debian's packages, pinned in rootfs/packages.*.txt, come from the mirror that this machine's apt uses.
rootfs: dist/plugin/config.json
dist/plugin/config.json: dist/tsnetd config.json $(wildcard rootfs/*)
	$(node) rootfs/build.ts

plugin: rootfs
	docker plugin create $(PLUGIN) dist/plugin

test: check all rootfs
	$(call install,$(to_test))
	$(node) test/lanes.ts

# Those that need no Docker engine.
test-quick: check all rootfs
	$(call install,$(to_test))
	$(node) test/lanes.ts quick

# Those on real engines alone, or some of them: SUITES="reach publish", TSNET_ENGINES=28.5. TSNET_CONTAINERS=200 and TSNET_KILLS=100 make
# crowd and storm as large as the project promises.
SUITES ?= *
test-docker: all rootfs
	$(call install,$(to_test))
	$(node) test/lanes.ts docker $(SUITES:%='%')

# Under Debian's User Mode Linux, which comes into .cache/ (180 MB unpacked), or under that of vm-kernel: five minutes on two cores that had
# other work. SUITES="swarm" names others of test/docker, GREP="VLAN" chooses scenarios.
test-vm: all rootfs
	$(call install,$(to_test))
	$(node) test/vm.ts $(filter-out *,$(SUITES))

to_compile := make:make gcc:gcc flex:flex bison:bison bc:bc xz:xz-utils strip:binutils
vm-kernel: node_modules/.package-lock.json
	$(call install,$(to_build) $(to_compile))
	$(node) test/bed/kernel.ts

# Kubernetes and CoreDNS from their Go modules, by Debian's Go; nothing of it is installed, and no Go has to be.
kubernetes: node_modules/.package-lock.json
	$(node) test/kubernetes/build.ts

# Skipped where that was not built.
test-kubernetes: all image
	$(call install,$(to_test))
	$(mocha) 'test/kubernetes/*.test.ts'

to_emulate := aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu qemu-aarch64-static:qemu-user-static
to_emulate += $(if $(wildcard /usr/aarch64-linux-gnu/lib/libc.a),,/usr/aarch64-linux-gnu/lib/libc.a:libc6-dev-arm64-cross)
test-arm64: all
	$(call install,$(to_test) $(to_emulate))
	$(MAKE) dist/tsnet-cni-arm64
	TSNET_SHIM=$(CURDIR)/test/cni/emulated $(mocha) test/cni/conformance.test.ts test/cni/faults.test.ts test/cni/life.test.ts

check: node_modules/.package-lock.json
	node_modules/.bin/tsc --noEmit
	node_modules/.bin/biome check .

MINUTES ?= 1
fuzz: node_modules/.package-lock.json
	$(node) --expose-gc test/fuzz/fuzz.ts --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench: all
	$(call install,$(to_test) $(to_bench))
	$(node) bench/all.ts

clean:
	rm -rf dist netlink/dist
