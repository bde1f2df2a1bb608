#!/usr/bin/env bash
# Style and types of the whole tree. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${REVATI_VENV:-.venv}/bin
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
git ls-files -z '*.h' '*.cpp' '*.c' | xargs -0 --no-run-if-empty "$bin/clang-format" --dry-run --Werror
