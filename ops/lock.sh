#!/bin/sh
# Write the lock files anew from setup.cfg, for every platform, with the hash of every file that pip may take.
# uv comes from pip into a folder that is thrown away. The dev and bench locks never disagree with the first.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
.venv/bin/python -m venv "$scratch"
"$scratch/bin/pip" --disable-pip-version-check --quiet install 'uv>=0.9'

compile() {
    out=$1
    shift
    # No annotations and no index: nothing of the machine that wrote it may show in the file.
    "$scratch/bin/uv" pip compile --quiet setup.cfg --universal --generate-hashes --python-version 3.11 \
        --no-emit-index-url --no-header --no-annotate --output-file "$out" "$@" >/dev/null
}

compile requirements.lock ${UPGRADE:+--upgrade}
compile requirements-dev.lock --extra dev --constraint requirements.lock ${UPGRADE:+--upgrade}
compile requirements-bench.lock --extra bench --constraint requirements.lock ${UPGRADE:+--upgrade}
