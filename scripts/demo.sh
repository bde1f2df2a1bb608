#!/usr/bin/env bash
# llama-3.1-8b with vLLM's default flags on one virtual H200, loaded by vLLM's own benchmark client.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${REVATI_VENV:-.venv}/bin/revati" bench --engine vllm --model llama-3.1-8b --gpu h200-sxm \
    --num-prompts 100 --input-len 512 --output-len 128 --request-rate 4 --out out/demo "$@"
