#!/usr/bin/env bash
# The regression gate. Allocations are exact and checked by tests; time is
# compared between this commit and the merge base on the same machine, in turn,
# and a benchmark that got significantly slower by more than a quarter fails.
set -euo pipefail
cd "$(dirname "$0")/.."
benchstat=$1
go test -run 'Alloc' -count 1 ./pipeline/... ./formats/... ./stages/... ./bench/... | grep -v 'no tests to run\|no test files' || true
go test -run 'Alloc' -count 1 ./pipeline/... ./formats/... ./stages/... ./bench/... >/dev/null

base=$(git merge-base HEAD origin/main 2>/dev/null || true)
if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
  base=$(git rev-parse --verify --quiet HEAD~1 || true)
fi
if [ -z "$base" ]; then
  echo "bench-check: no earlier commit to compare with"
  exit 0
fi
work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/base" "$base"
# The gate runs the benchmarks whose names are listed in gate.txt.
pattern="^($(grep -v '^#' bench/gate.txt | tr '\n' '|' | sed 's/|$//'))\$"
build() { (cd "$1" && for p in ./bench ./formats/message/ros1 ./formats/message/cdr ./formats/mcap ./formats/rosbag ./formats/drivestats ./formats/parquet ./pipeline/expr; do
    if [ -d "$p" ]; then go test -c -o "$2/$(echo "$p" | tr -d . | tr / _).test" "$p" 2>/dev/null || true; fi
  done); }
mkdir "$work/head.bin" "$work/base.bin"
build "$PWD" "$work/head.bin"
build "$work/base" "$work/base.bin"
for round in 1 2 3 4 5 6; do
  for side in base head; do
    dir=$PWD; [ $side = base ] && dir=$work/base
    for t in "$work/$side.bin"/*.test; do
      pkg=$(basename "$t" .test | sed 's|^_||; s|_|/|g')
      [ -d "$dir/$pkg" ] || continue
      (cd "$dir/$pkg" && "$t" -test.run '^$' -test.bench "$pattern" -test.benchtime 100ms -test.benchmem) >>"$work/$side.txt" 2>/dev/null || true
    done
  done
done
"$benchstat" base="$work/base.txt" head="$work/head.txt" || true
"$benchstat" -format csv base="$work/base.txt" head="$work/head.txt" 2>/dev/null | awk -F, '
  /sec\/op/ { intime = 1 } /B\/s|B\/op|allocs\/op/ { intime = 0 }
  intime && $6 ~ /^\+/ { d = $6; sub(/%/, "", d); if (d + 0 > 25) { print "bench-check: " $1 " is " $6 " slower"; bad = 1 } }
  END { exit bad }'
