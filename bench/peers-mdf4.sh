#!/usr/bin/env bash
# Measures drivemill against other readers of MDF4 on the same recordings, on
# this machine, in turn: bench/peers-mdf4.sh [MEGABYTES] [ROUNDS]
#
# The readers are installed, pinned, into .venv-peers-mdf4: asammdf (Python and C),
# mdfr and mf4-rs (Rust, through their Python packages). Ratios compare; seconds
# by themselves mean little.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

venv=$PWD/.venv-peers-mdf4
pins=bench/peers/mdf4/requirements.txt
if ! cmp -s "$pins" "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$pins"
  cp "$pins" "$venv/installed.txt"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -trimpath -o "$work/drivemill" ./cmd/drivemill
"$venv/bin/python" bench/peers/mdf4/workloads.py "$work" "${1:-100}"
"$venv/bin/python" bench/peers/mdf4/measure.py "$work/drivemill" "$work" "${2:-3}"
