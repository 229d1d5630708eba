#!/usr/bin/env bash
# The regression gate: bench/check.sh BENCHSTAT
#
# Allocations are exact: tests named Alloc fail on any excess.
#
# Time is compared, never judged by itself: the benchmarks of bench/gate.txt run
# in turn on this tree and on the commit it is measured against, on the same
# machine. One that benchstat finds significantly slower, and by more than the
# bound, is suspicious; it runs again, more often, and fails if the new samples
# say the same. BASE names another commit to compare with.
set -euo pipefail
cd "$(dirname "$0")/.."
benchstat=$1

bound=30      # percent
rounds=6      # of each side
more=10       # rounds for what is suspicious
benchtime=100ms
export GOFLAGS="-trimpath -buildvcs=false ${GOFLAGS:-}" # trimpath: both sides share the build cache

say() { echo "bench-check: $*"; }

# Allocations.
mapfile -t dirs < <(grep -rl --include='*_test.go' 'func Test[A-Za-z0-9_]*Alloc' bench cmd formats pipeline stages | xargs -n1 dirname | sort -u | sed 's|^|./|')
say "allocations: ${dirs[*]}"
go test -count 1 -run 'Alloc' "${dirs[@]}"

# What to compare with: where this branch left main; on main itself what is
# committed if there are changes, else the commit before.
git rev-parse --git-dir >/dev/null 2>&1 || { say "not a git work tree, nothing to compare with"; exit 0; }
base=${BASE:-}
for main in origin/main main; do
  [ -n "$base" ] || base=$(git merge-base HEAD "$main" 2>/dev/null || true)
done
[ -n "$base" ] || base=$(git rev-parse --verify --quiet HEAD || true)
if [ -n "$base" ] && [ "$(git rev-parse "$base")" = "$(git rev-parse HEAD)" ] && git diff --quiet HEAD; then
  base=$(git rev-parse --verify --quiet HEAD~1 || true)
fi
[ -n "$base" ] || { say "no earlier commit to compare with"; exit 0; }
say "time: this tree against $(git log -1 --format='%h %s' "$base")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
head_dir=$PWD base_dir=$work/base
mkdir "$base_dir" "$work/bin"
git archive "$base" | tar -x -C "$base_dir"

mapfile -t lines < <(grep -v '^\s*\(#\|$\)' bench/gate.txt)
binary() { echo "$work/bin/$1-${2//\//_}"; } # side package

for pkg in $(printf '%s\n' "${lines[@]}" | awk '{ print $1 }' | sort -u); do
  go test -c -o "$(binary head "$pkg")" "./$pkg"
  if ! (cd "$base_dir" && go test -c -o "$(binary base "$pkg")" "./$pkg") >"$work/log" 2>&1 || [ ! -x "$(binary base "$pkg")" ]; then
    say "$pkg has no tests to run in the base"
  fi
done

# measure LINE SIDE FILE appends one sample of each benchmark of a line.
measure() {
  local pkg pattern dir bin
  read -r pkg pattern <<<"${lines[$1]}"
  bin=$(binary "$2" "$pkg")
  [ -x "$bin" ] || return 0
  [ "$2" = head ] && dir=$head_dir || dir=$base_dir
  if (cd "$dir/$pkg" && "$bin" -test.run '^$' -test.bench "$pattern" -test.benchtime "$benchtime" -test.timeout 2m) >"$work/log" 2>&1; then
    cat "$work/log" >>"$3"
  elif [ "$2" = head ]; then
    cat "$work/log"
    say "$pkg $pattern fails"
    exit 1
  fi
}

# compare LINE ROUNDS PREFIX measures both sides in turn; which is first alternates.
compare() {
  : >"$3.base" && : >"$3.head"
  for ((r = 0; r < $2; r++)); do
    if ((r % 2)); then measure "$1" head "$3.head"; measure "$1" base "$3.base"
    else measure "$1" base "$3.base"; measure "$1" head "$3.head"; fi
  done
  grep -q '^Benchmark' "$3.head" || { say "${lines[$1]}: there is no such benchmark"; exit 1; }
}

# slower PREFIX lists what is significantly slower by more than the bound:
# benchstat gives a difference only where p < 0.05.
slower() {
  "$benchstat" -format csv -filter '.unit:ns/op' base="$1.base" head="$1.head" 2>/dev/null | awk -F, -v bound="$bound" '
    $1 != "" && $1 != "geomean" && $6 ~ /^\+[0-9.]+%$/ { d = $6; gsub(/[+%]/, "", d); if (d + 0 > bound) print $1 " " $6 " (" $7 ")" }'
}

bad=0
for i in "${!lines[@]}"; do
  compare "$i" "$rounds" "$work/$i"
  cat "$work/$i.base" >>"$work/all.base"
  cat "$work/$i.head" >>"$work/all.head"
  if ! grep -q '^Benchmark' "$work/$i.base"; then
    say "${lines[$i]}: not in the base"
  elif found=$(slower "$work/$i") && [ -n "$found" ]; then
    say "suspicious, measuring again: $found"
    compare "$i" "$more" "$work/$i.again"
    if found=$(slower "$work/$i.again") && [ -n "$found" ]; then
      say "SLOWER than the base by more than $bound%: $found"
      bad=1
    fi
  fi
done
"$benchstat" -filter '.unit:(ns/op OR allocs/op)' base="$work/all.base" head="$work/all.head" 2>/dev/null | grep -v '^[¹²³⁴⁵]'
((bad == 0)) && say "no benchmark is slower by more than $bound%"
exit "$bad"
