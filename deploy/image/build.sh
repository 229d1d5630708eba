#!/usr/bin/env bash
# Builds the image for amd64 and arm64 with buildx. Where there is no docker daemon, the same commands
# run without it: both architectures are cross-built, each must be static, and the file system for
# this machine's architecture is entered and tried as the image would run it.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
image=${IMAGE:-drivemill}

if docker buildx version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
  exec docker buildx build --platform linux/amd64,linux/arm64 --file deploy/image/Dockerfile \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" --tag "$image:$version" "$@" .
fi

echo "no docker daemon: the image's file systems are built and tried without it"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for arch in amd64 arm64; do
  deploy/image/rootfs.sh "$work/$arch" "$arch" "$version" "$revision"
  what=$(file --brief "$work/$arch/usr/bin/drivemill")
  echo "$arch: $what"
  case $arch in amd64) machine=x86-64 ;; arm64) machine='ARM aarch64' ;; esac
  [[ $what == *"$machine"*"statically linked"* ]] || { echo "$arch: not a static binary for $machine" >&2; exit 1; }
  if find "$work/$arch" -perm /6000 | grep -q .; then echo "$arch: there are setuid files" >&2; exit 1; fi
done

case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) echo "nothing to try on $(uname -m)"; exit ;; esac
root=$work/$arch
cp -r testdata/drives testdata/weather testdata/pipelines "$root/scratch/"
mkdir "$root/scratch/testdata" && mv "$root/scratch/drives" "$root/scratch/weather" "$root/scratch/pipelines" "$root/scratch/testdata/"
chmod -R a+rwX "$root/scratch" "$root" 2>/dev/null
enter() { unshare --user --map-root-user --mount chroot --userspec=65532:65532 "$@"; }
if [ "$(id -u)" = 0 ]; then enter() { chroot --userspec=65532:65532 "$@"; }; fi
inside() { enter "$root" /usr/bin/drivemill "$@"; }
if ! inside version; then
  echo "neither root nor user namespaces: the file system was not entered"
  exit
fi
TMPDIR=/scratch inside run --progress none --set inputs.drives.uri='/scratch/testdata/drives/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}' \
  --set stages.sited.table=/scratch/testdata/weather/stations.csv --set outputs.lake.uri=/scratch/lake /scratch/testdata/pipelines/drives.yaml
[ "$(stat -c %u "$root/scratch/lake")" = 65532 ] || { echo "the binary did not run as user 65532" >&2; exit 1; }
echo "the image's file system works, as user 65532"
