#!/usr/bin/env bash
# Runs both DAGs in a real Airflow, pinned, in a Python environment of its own (.venv-airflow).
# All traffic stays on loopback. Airflow 3.1 wants Python 3.10 to 3.13; PYTHON names another one
# than python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$PWD/.venv-airflow
pins=$(cat deploy/airflow/requirements.in deploy/airflow/constraints.txt)
if [ "$pins" != "$(cat "$venv/installed.txt" 2>/dev/null)" ]; then
  rm -rf "$venv"
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement deploy/airflow/requirements.in --constraint deploy/airflow/constraints.txt
  echo "$pins" > "$venv/installed.txt"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -trimpath -o "$work/drivemill" ./cmd/drivemill
"$venv/bin/python" deploy/airflow/test/check.py "$work/drivemill" "$work/check"
