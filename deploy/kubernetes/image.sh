#!/bin/sh
# Makes a container image without a registry and without a container engine: image.sh DIST TAR. The archive is what `docker load` and
# `ctr -n k8s.io images import` take. busybox and iptables are this machine's own.
set -eu
dist=$1 tar=$2
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/usr/sbin" "$root/opt/tsnet" "$root/run" "$root/var/lib" "$root/tmp" "$root/proc" "$root/sys" "$root/dev" "$root/etc"
ln -s /run "$root/var/run"
for folder in sbin lib lib64; do mkdir -p "$root/usr/$folder"; ln -s "usr/$folder" "$root/$folder"; done

with_libraries() { # program, to
  cp -L "$1" "$2"
  ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    [ -e "$root$library" ] || cp -L "$library" "$root$library"
  done
}

cp -a "$dist/." "$root/opt/tsnet/"
rm -rf "$root/opt/tsnet/plugin" "$root"/opt/tsnet/*.tar
cp "$here/install.sh" "$root/opt/tsnet/"
with_libraries "$dist/node" "$root/opt/tsnet/node"
cp -L "$(command -v busybox)" "$root/bin/busybox"
for applet in sh cat chmod cmp cp dirname basename env kill ls mkdir mv printf readlink rm sed sleep sync tr; do ln -s busybox "$root/bin/$applet"; done
for family in legacy nft; do
  multi=$(readlink -f "/usr/sbin/xtables-$family-multi") || continue
  [ -e "$multi" ] || continue
  with_libraries "$multi" "$root/usr/sbin/xtables-$family-multi"
  for name in iptables ip6tables; do ln -s "xtables-$family-multi" "$root/usr/sbin/$name-$family"; done
done
find /usr/lib -type d -name xtables -exec sh -c 'mkdir -p "$1$2" && cp -a "$2/." "$1$2/"' - "$root" {} \; 2>/dev/null

tar -C "$root" --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 -cf "$work/layer.tar" .
sum=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/usr/sbin:/bin"],"Cmd":["/opt/tsnet/tsnetd"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$arch" "$sum" >"$work/config.json"
printf '[{"Config":"config.json","RepoTags":["localhost/tsnet:%s"],"Layers":["layer.tar"]}]' "${TAG:-0.1.0}" >"$work/manifest.json"
tar -C "$work" -cf "$tar.new" manifest.json config.json layer.tar
mv "$tar.new" "$tar"
