#!/usr/bin/env bash
# The whole test suite in .venv; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(cd "${REVATI_VENV:-.venv}" && pwd)
# The installed package is what is tested, not the source tree next to it.
exec "$venv/bin/python" -P -m pytest "$@"
