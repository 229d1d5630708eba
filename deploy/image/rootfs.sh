#!/bin/sh
# Builds the binary for one architecture and assembles the file system of the image around it:
# the static binary, CA certificates, a user who is not root, and /scratch, where it may write.
#
# usage: rootfs.sh DIRECTORY amd64|arm64 VERSION REVISION     from the root of the repository
set -eu
out=$1 arch=$2 version=$3 revision=$4

mkdir -p "$out/usr/bin" "$out/etc/ssl/certs" "$out/scratch"
CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false \
  -ldflags "-s -w -X main.version=$version -X main.revision=$revision" -o "$out/usr/bin/drivemill" ./cmd/drivemill

certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
grep -q 'BEGIN CERTIFICATE' "$certificates" || { echo "no CA certificates in $certificates" >&2; exit 1; }
cp -L "$certificates" "$out/etc/ssl/certs/ca-certificates.crt"
chmod 644 "$out/etc/ssl/certs/ca-certificates.crt"
echo 'drivemill:x:65532:65532:drivemill:/scratch:/sbin/nologin' > "$out/etc/passwd"
echo 'drivemill:x:65532:' > "$out/etc/group"
chmod 1777 "$out/scratch"
