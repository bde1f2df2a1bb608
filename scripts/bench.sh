#!/usr/bin/env bash
# What the virtual GPU costs on this machine, measured.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${REVATI_VENV:-.venv}/bin/python" -P benchmarks/run.py "$@"
