#!/usr/bin/env bash
# The whole test suite in .venv, two files at a time; arguments go to pytest (-n 0: one test after the other).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(cd "${REVATI_VENV:-.venv}" && pwd)

command -v curl >/dev/null 2>&1 || {
    printf 'test: needs curl, one of the clients that the tests run; install it (Debian, Ubuntu: apt-get install curl).\n' >&2
    exit 1
}

# GuideLLM wants other versions of some packages that vLLM uses: it lives in a folder of its own, on top of .venv.
stamp=$venv/.revati/guidellm
if ! cmp -s scripts/guidellm-requirements.txt "$stamp"; then
    printf 'test: installing GuideLLM (a client for tests, 250 MB)\n'
    uv=$(command -v "$venv/bin/uv" || command -v uv)
    "$uv" pip install --quiet --no-deps --python "$venv/bin/python" --target "$venv/guidellm" \
        --requirement scripts/guidellm-requirements.txt
    cp scripts/guidellm-requirements.txt "$stamp"
fi

# One test looks at a report in a real browser.
if ! command -v chromium-headless-shell chromium chromium-browser google-chrome >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        printf 'test: installing Chromium (a browser for one test, 250 MB)\n'
        # Where the distribution's packages cannot be reached, that must be known soon.
        apt=(apt-get -y -o Acquire::Retries=0 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15)
        { timeout 120 "${apt[@]}" update &&
            timeout 300 "${apt[@]}" install --no-install-recommends chromium-headless-shell fonts-dejavu-core; } </dev/null >/dev/null 2>&1 ||
            printf 'test: could not install Chromium; the test that looks at a report is left out.\n' >&2
    else
        printf 'test: no Chromium: the test that looks at a report is left out (Debian: apt-get install chromium-headless-shell).\n' >&2
    fi
fi

# The installed package is what is tested, not the source tree next to it.
exec "$venv/bin/python" -P -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
