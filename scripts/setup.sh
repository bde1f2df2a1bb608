#!/usr/bin/env bash
# Makes .venv: vLLM (pinned), Revati built from this tree, and the tools for tests and lint. Quick when nothing changed.
#
#   PYTHON=/path/to/python   interpreter to use (3.11 or 3.12); otherwise the first that works of python3.12, python3.11, python3
#   REVATI_VENV=DIR          where to make it (default .venv)
#   REVATI_FRAMEWORK=NAME    vllm, or sglang, whose pins contradict vLLM's (scripts/setup-sglang.sh)
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${REVATI_VENV:-.venv}
framework=${REVATI_FRAMEWORK:-vllm}
stamps=$venv/.revati

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 or 3.12; install one (Debian, Ubuntu: apt-get install python3-dev python3-venv) or set PYTHON=/path/to/python."
}

need() { command -v "$1" >/dev/null 2>&1 || fail "needs $1 to build the native libraries; install it (Debian, Ubuntu: apt-get install $2)."; }

make_venv() {
    local python
    python=$(find_python)
    "$python" -c 'import os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
        fail "$python lacks its headers; install them (Debian, Ubuntu: apt-get install python3-dev)."
    printf 'setup: making %s with %s\n' "$venv" "$("$python" --version)"
    if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
        uv venv --quiet --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"
    else
        "$python" -m venv "$venv" ||
            fail "$python cannot make a virtual environment; install its venv module (Debian, Ubuntu: apt-get install python3-venv)."
    fi
}

find_uv() {
    if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
        printf 'uv'
        return
    fi
    [ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install --quiet uv ||
        fail "could not install uv from the package index; check the network."
    printf '%s' "$venv/bin/uv"
}

# One hash over everything that the installed package is made of.
source_hash() {
    # Folders that do not exist yet make find fail, which is no reason to stop.
    { find pyproject.toml CMakeLists.txt cmake native revati predictors coordinator scripts/*constraints*.txt -type f \
        -not -path '*/__pycache__/*' -print0 2>/dev/null || true; } | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

need gcc build-essential
need g++ build-essential
need cmake cmake
[ -x "$venv/bin/python" ] || make_venv
mkdir -p "$stamps"
uv=$(find_uv)
pip_install() { "$uv" pip install --quiet --python "$venv/bin/python" "$@"; }

constraints=scripts/$framework-constraints.txt
framework_hash=$(cat pyproject.toml "$constraints" scripts/tools-constraints.txt | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamps/$framework" 2>/dev/null)" != "$framework_hash" ]; then
    printf 'setup: installing %s (about 9 GB; under a minute where the package index is near)\n' "$framework"
    # Everything that Revati's extras name, without building Revati itself yet.
    pip_install --constraint "$constraints" --constraint scripts/tools-constraints.txt --requirement pyproject.toml \
        --extra "$framework" --extra test --extra dev --extra report --extra sweep --extra docs
    printf '%s' "$framework_hash" >"$stamps/$framework"
fi

hash=$(source_hash)
if [ "$(cat "$stamps/revati" 2>/dev/null)" != "$hash" ]; then
    printf 'setup: building and installing Revati\n'
    CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)} pip_install --no-deps --reinstall-package revati .
    printf '%s' "$hash" >"$stamps/revati"
fi
printf 'setup: ready: %s/bin/revati\n' "$venv"
