#!/bin/sh
# Runs the whole test suite. With `--coverage` as the first argument, the coverage of the code is measured
# and required, including that of the processes that the tests start; other arguments are those of pytest.
# Reports in one line each what the machine lacks (a browser, promtool, wrk, real listings).
set -eu

bin=.venv/bin
chosen=""

leave_out() { # marker, reason
    echo "carprice: $2"
    chosen="${chosen:+$chosen and }not $1"
}

make --no-print-directory --jobs=3 --output-sync lint types contracts

CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
export CHROMIUM
[ -n "$CHROMIUM" ] ||
    leave_out browser "browser tests are left out: no Chromium here (Debian: apt install chromium)"
{ command -v promtool && command -v amtool; } >/dev/null 2>&1 ||
    leave_out prometheus "tests of alert rules are left out: no promtool and amtool here (Debian: apt install prometheus prometheus-alertmanager)"
{ command -v redis-server && command -v redis-sentinel; } >/dev/null 2>&1 ||
    leave_out redis "tests of failover and TLS are left out: no redis-server and redis-sentinel here (Debian: apt install redis-server redis-sentinel)"
command -v haproxy >/dev/null ||
    leave_out haproxy "tests of the proxy are left out: no haproxy here (Debian: apt install haproxy)"
command -v wrk >/dev/null ||
    echo "carprice: some benchmarks are not tried: no wrk here (Debian: apt install wrk)"
[ -n "${CARPRICE_LISTINGS:-}" ] ||
    leave_out listings "tests on real listings are left out: CARPRICE_LISTINGS names no file"

rm -f .coverage .coverage.*
code=0
$bin/python -m scripts.run_tests "$@" ${chosen:+-m "$chosen"} || code=$?
if [ "${1:-}" = --coverage ]; then
    $bin/coverage combine --quiet
    $bin/coverage report || [ "$code" -ne 0 ] || code=2
fi
# The lines with which each pytest closes, without what threads write to the log after it.
grep -h "^=* .* in [0-9.]*s.* =*$" reports/*.txt || true
exit "$code"
