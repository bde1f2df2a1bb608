#!/usr/bin/env bash
# llama-3.1-8b with SGLang's default flags on one virtual H200, loaded by SGLang's own benchmark client.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${REVATI_SGLANG_VENV:-.venv-sglang}/bin/revati" bench --engine sglang --model llama-3.1-8b --gpu h200-sxm \
    --num-prompts 100 --input-len 512 --output-len 128 --request-rate 4 --out out/demo-sglang "$@"
