#!/bin/sh
# Builds the wheel of the client package: scripts/build-client.sh FOLDER [PYTHON]
# It is built from a copy, so that no build files appear in the source folder; links become files.
set -eu

target=$1
python=${2:-.venv/bin/python}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -RL "$(dirname "$0")/../client" "$copy/client"
find "$copy" -name __pycache__ -type d -prune -exec rm -rf {} +
"$python" -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation \
    --wheel-dir "$target" "$copy/client"
