#!/usr/bin/env bash
# Checks the template of the stack and the recipe of the image, with linters in .venv-deploy.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/.venv-deploy
if ! cmp -s deploy/requirements.txt "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement deploy/requirements.txt
  cp deploy/requirements.txt "$venv/installed.txt"
fi
"$venv/bin/cfn-lint" deploy/batch/template.yaml
"$venv/bin/hadolint" deploy/image/Dockerfile
echo "the stack and the image's recipe pass their linters"
