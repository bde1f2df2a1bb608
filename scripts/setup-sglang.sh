#!/usr/bin/env bash
# Makes .venv-sglang: SGLang (pinned), Revati built from this tree, and the tools for tests. Quick when nothing changed.
#
#   PYTHON=/path/to/python   interpreter to use, as scripts/setup.sh
#   REVATI_SGLANG_VENV=DIR   where to make it (default .venv-sglang)
set -euo pipefail
cd "$(dirname "$0")/.."
REVATI_FRAMEWORK=sglang REVATI_VENV=${REVATI_SGLANG_VENV:-.venv-sglang} exec scripts/setup.sh
