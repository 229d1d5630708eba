#!/usr/bin/env bash
# Measures drivemill side by side with DuckDB, Polars and pyarrow: a month of
# daily files of a fleet to Parquet, one file for each day, on one core and on two.
# The peers are installed, pinned, into .venv-peers-drivestats.
#
# MB is the size of the daily files in MiB, ROUNDS how often each is measured.
# On a machine that does other work, go by CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

venv=$PWD/.venv-peers-drivestats
pins=bench/peers/requirements-drivestats.txt
if ! cmp -s "$pins" "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$pins"
  cp "$pins" "$venv/installed.txt"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -trimpath -o "$work/drivemill" ./cmd/drivemill
go run ./bench/generate -fleet -from 2022-10-01 -to 2022-10-30 -mb "${MB:-1024}" "$work/month"

"$venv/bin/python" bench/peers/drivestats.py "$work" "${ROUNDS:-1}"
