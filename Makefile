# The two commands of the README are `make demo` and `make test`; both go through `make setup`.
.PHONY: help setup demo demo-sglang test test-sglang test-unit bench docs lint format clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:  ## .venv with vLLM, Revati and the tools for development
	@scripts/setup.sh

demo: setup  ## llama-3.1-8b on one virtual H200, 100 requests; result in out/demo
	@scripts/demo.sh

demo-sglang:  ## the same with SGLang, in .venv-sglang; result in out/demo-sglang
	@scripts/setup-sglang.sh
	@scripts/demo-sglang.sh

test: setup  ## every test, the ones that run the real vLLM included
	@scripts/test.sh

test-unit: setup  ## the quick tests only
	@scripts/test.sh -m "not vllm"

test-sglang:  ## the tests that run the real SGLang, in .venv-sglang
	@scripts/setup-sglang.sh
	@.venv-sglang/bin/python -P -m pytest -m sglang tests/integration

bench: setup  ## what the virtual GPU costs
	@scripts/bench.sh

docs: setup  ## the documentation as a site, in out/site
	@.venv/bin/mkdocs build

lint: setup  ## ruff, mypy, clang-format
	@scripts/lint.sh

format:  ## rewrite sources in the project's format
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .
	@git ls-files '*.h' '*.cpp' '*.c' | xargs .venv/bin/clang-format -i

clean:  ## remove what was built (not .venv)
	@rm -rf build out
