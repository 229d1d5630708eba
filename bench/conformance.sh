#!/usr/bin/env bash
# Compares drivemill with independent implementations: DuckDB and pyarrow read
# what it writes, the Python libraries of ROS, MCAP and MDF decode what it reads, and
# cantools decodes CAN frames.
# The libraries are installed, pinned, into .venv-conformance.
#
# DRIVEMILL_CONFORMANCE, where set, is a directory of real recordings
# (mcap/, ros1_bag/, rosbag2/, mdf4/, dbc/, drive_stats/), all of which are compared too.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

venv=$PWD/.venv-conformance
pins=bench/conformance/requirements.txt
if ! cmp -s "$pins" "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$pins"
  cp "$pins" "$venv/installed.txt"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -trimpath -o "$work/drivemill" ./cmd/drivemill

# Each part ends with a line of what it compared; none keeps the others from
# running.
failed=0
parts=()
part() {
  local name=$1 log=$work/part.log code=0
  shift
  echo "== $name"
  "$@" 2>&1 | tee "$log" || code=$?
  [ $code -eq 0 ] || failed=1
  parts+=("$(printf '%-10s exit %d: %d ok, %d failed, %d skipped' "$name" $code "$(grep -c '^ok' "$log")" "$(grep -c -- '^\(FAIL\|--- FAIL\)' "$log")" "$(grep -c '^skip' "$log")")")
}

python=$venv/bin/python
part lake "$python" bench/conformance/lake.py "$work/drivemill" "$work/lake"
part drivestats "$python" bench/conformance/drivestats.py "$work/drivemill" "$work/drivestats"
part recordings "$python" bench/conformance/recordings.py "$work/drivemill"
part video "$python" bench/conformance/video.py "$work/drivemill"
part rosbag2 "$python" bench/conformance/rosbag2.py "$work/drivemill"
part encodings "$python" bench/conformance/encodings.py "$work/drivemill"
part dbc "$python" bench/conformance/dbc.py "$work/drivemill" "$work/dbc"
mkdir "$work/mdf4"
part samples env DRIVEMILL_SAMPLES="$work/mdf4" go test -count=1 -run '^TestSamples$' ./formats/mdf4/mdf4test
part mdf4 "$python" bench/conformance/mdf4.py "$work/drivemill" "$work/mdf4"
# What our tests write, read by asammdf.
part mdf4test env DRIVEMILL_PYTHON="$python" go test -count=1 -run '^TestPeer$' ./formats/mdf4/mdf4test
# Every type the sink writes, read by pyarrow and DuckDB.
part types env DRIVEMILL_PYTHON="$python" go test -count=1 -run '^TestOtherReaders$' ./formats/parquet

echo "== parts"
printf '%s\n' "${parts[@]}"
if [ $failed -ne 0 ]; then
  echo "conformance: there are differences" >&2
fi
exit $failed
