#!/usr/bin/env bash
# Measures drivemill side by side with other readers of MCAP and bags, over the
# same recordings, on one core and on two: wall time, CPU, peak memory, size of
# the output. The peers are installed, pinned, into .venv-peers.
#
# MB is the size of the messages in MiB, ROUNDS how often each is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

venv=$PWD/.venv-peers
pins=bench/peers/requirements.txt
if ! cmp -s "$pins" "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$pins"
  cp "$pins" "$venv/installed.txt"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -trimpath -o "$work/drivemill" ./cmd/drivemill
go build -trimpath -o "$work/decode" ./bench/decode
go run ./bench/generate -mb "${MB:-64}" -compression zstd "$work/ros1.mcap"

"$venv/bin/python" bench/peers/inputs.py "$work"
"$venv/bin/python" bench/peers/compare.py "$work" "${ROUNDS:-3}"
