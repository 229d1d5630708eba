#!/usr/bin/env bash
# Compares drivemill with independent implementations: DuckDB and pyarrow read
# what it writes, the Python libraries of ROS, MCAP and MDF decode what it reads, and
# cantools decodes CAN frames.
# The libraries are installed, pinned, into .venv-conformance.
#
# DRIVEMILL_CONFORMANCE, where set, is a directory of real recordings
# (mcap/, ros1_bag/, rosbag2/, mdf4/, dbc/), all of which are compared too.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

# environment DIR PINS makes a Python environment, unless it is there.
environment() {
  if ! cmp -s "$2" "$1/installed.txt"; then
    rm -rf "$1"
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
    cp "$2" "$1/installed.txt"
  fi
}
venv=$PWD/.venv-conformance
environment "$venv" bench/conformance/requirements.txt
# lifelines wants another pandas than asammdf does.
fleet=$PWD/.venv-conformance-fleet
environment "$fleet" bench/conformance/requirements-fleet.txt

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -trimpath -o "$work/drivemill" ./cmd/drivemill

failed=0
check() { "$@" || failed=1; }
check "$venv/bin/python" bench/conformance/lake.py "$work/drivemill" "$work/lake"
check "$venv/bin/python" bench/conformance/recordings.py "$work/drivemill"
check "$venv/bin/python" bench/conformance/video.py "$work/drivemill"
check "$venv/bin/python" bench/conformance/rosbag2.py "$work/drivemill"
check "$venv/bin/python" bench/conformance/encodings.py "$work/drivemill"
check "$venv/bin/python" bench/conformance/dbc.py "$work/drivemill" "$work/dbc"
check "$fleet/bin/python" bench/conformance/fleet.py "$work/drivemill" "$work/fleet"
mkdir "$work/mdf4"
check env DRIVEMILL_SAMPLES="$work/mdf4" go test -count=1 -run '^TestSamples$' ./formats/mdf4/mdf4test
check "$venv/bin/python" bench/conformance/mdf4.py "$work/drivemill" "$work/mdf4"
echo "mdf4test: what our tests write, read by asammdf"
check env DRIVEMILL_PYTHON="$venv/bin/python" go test -count=1 -run '^TestPeer$' ./formats/mdf4/mdf4test
echo "types: every type the sink writes, read by pyarrow and DuckDB"
check env DRIVEMILL_PYTHON="$venv/bin/python" go test -count=1 -run '^TestOtherReaders$' ./formats/parquet
if [ $failed -ne 0 ]; then
  echo "conformance: there are differences" >&2
fi
exit $failed
