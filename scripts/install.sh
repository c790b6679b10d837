#!/bin/sh
# Installs packages without their dependencies in an environment: with uv, or with pip where uv cannot.
# usage: install.sh ENVIRONMENT OPTION...
set -eu
bin=$1/bin
shift

pip() { "$bin/python" -m pip --disable-pip-version-check install -qq --no-deps "$@"; }

# uv comes from the index that pip is configured for. Without it, or if uv does not reach an index
# that only pip knows, pip installs the same versions with the same hashes.
if [ -x "$bin/uv" ] || pip --require-hashes -r requirements/installer.txt 2>/dev/null; then
    "$bin/uv" pip install --quiet --python "$bin/python" --no-deps "$@" 2>/dev/null && exit
fi
pip "$@"
