#!/bin/sh
# Runs a command and shows its output only if it fails.
set -u
output=$("$@" 2>&1)
code=$?
[ $code -eq 0 ] || printf '%s\n' "$output" >&2
exit $code
