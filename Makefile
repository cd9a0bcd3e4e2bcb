# `make nightly` and `make test` do all set-up by themselves; they need Python 3.11 to 3.13 and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
WORKERS ?= 2

# The first interpreter that really is 3.11, 3.12 or 3.13; override with `make PYTHON=/path/to/python setup`.
FIND_PYTHON = for p in $(PYTHON) python3.12 python3.11 python3.13 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo "$$p" && break; done || true

# dbt renders the SQL for sqlfluff; it needs a connection, not a warehouse.
SQLFLUFF := POSRECON_WAREHOUSE=:memory: DBT_SEND_ANONYMOUS_USAGE_STATS=false $(BIN)/sqlfluff
# What is ours to check: generated and installed files are not.
PY := include dags tests docs
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-strip-extras \
	--generate-hashes --custom-compile-command "make lock"

.PHONY: help setup nightly airflow test test-slow lint format typecheck bench bench-growth docs clean lock

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## Make .venv from the locks, with posrecon installed in it

# --no-deps: the lock is complete, and older versions of pip cannot resolve hashed extras.
$(LOCKED): requirements-dev.txt
	@python="$$($(FIND_PYTHON))"; \
	if [ -z "$$python" ]; then echo "posrecon needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python setup" >&2; exit 2; fi; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) with $$python ($$("$$python" --version))"; "$$python" -m venv --clear $(VENV); }
	@echo "Installing the locked requirements (a few minutes the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

nightly: $(READY) ## Run three simulated nights in Airflow and show what they found
	@$(BIN)/python -m posrecon.local_airflow nightly

airflow: $(READY) ## Run Airflow with its web interface on this home, on 127.0.0.1:8080; Ctrl-C ends it
	@$(BIN)/python -m posrecon.local_airflow up

test: $(READY) ## Run every test but the slow ones
	@$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-slow: $(READY) ## Run the slow tests: kill -9, replay, a real scheduler, a browser
	@$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist loadfile --durations 10

lint: $(READY) ## Check Python and SQL
	$(BIN)/ruff check $(PY)
	$(BIN)/ruff format --check $(PY)
	$(SQLFLUFF) lint --disable-progress-bar --processes $(WORKERS) dbt_project

format: $(READY) ## Rewrite Python and SQL to the house style
	$(BIN)/ruff check --fix $(PY)
	$(BIN)/ruff format $(PY)
	$(SQLFLUFF) fix --disable-progress-bar --quiet dbt_project

typecheck: $(READY) ## mypy --strict on include/
	$(BIN)/mypy

bench: $(READY) ## Time a night of a million events and the reader of every layout; writes var/bench/*.md
	@$(BIN)/python -m tests.benchmarks.night $(BENCH)
	@$(BIN)/python -m tests.benchmarks.readers

bench-growth: $(READY) ## Time 60 nights of 200 000 events (an hour); writes var/bench/growth.md
	@$(BIN)/python -m tests.benchmarks.growth $(BENCH)

docs: $(READY) ## Write docs/tables.md and docs/rules.md anew from the models' YAML and the rule catalogue
	@$(BIN)/python docs/make_tables.py
	@$(BIN)/python docs/make_rules.py

lock: $(READY) ## Pin every dependency anew, within requirements*.in
	$(UV_COMPILE) --upgrade requirements.in -o requirements.txt
	$(UV_COMPILE) --upgrade requirements-dev.in -o requirements-dev.txt

clean: ## Remove what was built; the state under POSRECON_HOME and .venv stay
	@rm -rf dbt_project/target dbt_project/logs dbt_project/dbt_packages logs build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find include dags tests docs -type d -name __pycache__ -prune -exec rm -rf {} +
