#!/bin/sh
# Creates an empty virtual environment, or reports in one line what the machine lacks.
# usage: make-venv.sh PYTHON FOLDER
set -eu
python=$1
folder=$2

refuse() {
    echo "carprice: $1" >&2
    exit 1
}

other="or name another one: make PYTHON=/path/to/python3.12 ..."

command -v "$python" >/dev/null 2>&1 ||
    refuse "Python 3.11 or newer is needed, and there is no '$python': install it (Debian, Ubuntu: apt install python3 python3-venv), $other"

"$python" -c 'pass' >/dev/null 2>&1 ||
    refuse "Python 3.11 or newer is needed, and '$python' does not run: install it, $other"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "Python 3.11 or newer is needed, and '$python' is $("$python" -c 'import platform; print(platform.python_version())'): install a newer one, $other"

"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    refuse "'$python' comes without venv: install it (Debian, Ubuntu: apt install python3-venv), $other"

"$python" -m venv --clear "$folder"
