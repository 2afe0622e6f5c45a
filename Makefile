# SPDX-License-Identifier: Apache-2.0
# Every target makes the virtual environment that it needs; Python 3.11 or newer and make are all that must be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help serve shell test test-fast test-long lint fmt bench bench-full bench-profile bench-http bench-keys bench-console api docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

serve: $(VENV)/run ## run a server (ARGS="--port 8086 ..." to pass options)
	$(BIN)/keyquorum serve $(ARGS)

shell: $(VENV)/dev ## a shell with keyquorum and the AWS CLI on PATH
	PATH="$(CURDIR)/$(BIN):$$PATH" $${SHELL:-/bin/sh}

test: lint ## lint, then every test but the long ones
	$(PYTEST) -n 3 --dist loadgroup -m "not long" $(ARGS)

test-fast: $(VENV)/dev ## the quick ones of these tests
	$(PYTEST) -n 3 --dist loadgroup -m "not slow and not long" $(ARGS)

test-long: $(VENV)/dev ## kill, fuzz and soak tests
	$(PYTEST) -n 2 --dist loadgroup -m "long and not alone" $(ARGS)
	$(PYTEST) -m "long and alone" $(ARGS)

lint: $(VENV)/dev ## mypy --strict, ruff, import contracts, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/house_rules.py

fmt: $(VENV)/dev ## format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/dev ## measure, and print the table of the README
	$(BIN)/python bench/run.py $(ARGS)

bench-full: $(VENV)/dev ## measure beside peers, and print every table (ARGS="--write" to put them into docs/)
	$(BIN)/python bench/full.py $(ARGS)

bench-profile: $(VENV)/dev ## where a request's time goes: the table and the flame graph of docs/design/performance.md
	$(BIN)/python bench/flame.py $(ARGS)

bench-http: $(VENV)/dev ## measure what HTTP costs, by server
	$(BIN)/python bench/http_servers.py $(ARGS)

bench-keys: $(VENV)/dev ## measure what a million keys cost (ARGS="--keys 1000000")
	$(BIN)/python bench/many_keys.py $(ARGS)

bench-console: $(VENV)/dev ## measure the console's pages with many keys (ARGS="--keys 100000")
	$(BIN)/python bench/console_pages.py $(ARGS)

api: $(VENV)/dev ## generate api.py, iam_api.py and sts_api.py from the pinned service models
	$(BIN)/python scripts/generate_api.py

docs: $(VENV)/dev ## generate what docs/ has of tables, and build the documentation site into build/site
	$(BIN)/python scripts/operations_table.py
	$(BIN)/python scripts/options_table.py
	$(BIN)/python scripts/documentation.py

lock: $(VENV)/dev ## lock the dependencies anew
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q \
		pyproject.toml -o requirements/run.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q \
		--extra dev -c requirements/run.lock pyproject.toml -o requirements/dev.lock

clean: ## remove the virtual environment and what tools leave behind
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache build src/*.egg-info

$(VENV)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "keyquorum needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/run: $(VENV)/python requirements/run.lock pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/dev: $(VENV)/run requirements/dev.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	touch $@
