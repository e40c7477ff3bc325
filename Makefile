# Each target does all of its own set-up; `make run` and `make test` are all a new user needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
KERNEL_SOURCES := $(wildcard probes/toposcope_probes/*.c probes/toposcope_probes/core/*.c probes/toposcope_probes/core/*.h)

.DEFAULT_GOAL := help
.PHONY: help run test test-slow lint format types check-host clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## install into .venv and serve http://127.0.0.1:9847 until Ctrl-C
	$(BIN)/toposcope serve --config config.yaml

test: $(STAMP) $(VENV)/.tested-tools ## install into .venv and run the tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

test-slow: $(STAMP) $(VENV)/.tested-tools ## the tests that take minutes: VM, soak, chaos
	$(BIN)/pytest -m slow --timeout 3600

lint: $(VENV)/.tested-tools ## ruff and mypy
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.tested-tools ## let ruff format the tree
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check-host: ## say which Debian packages are missing
	@sh .ci/check-host $(PYTHON)

$(BIN)/python: | check-host
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(STAMP): pyproject.toml CMakeLists.txt $(KERNEL_SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.tested-tools: pyproject.toml | $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	@touch $@ $(STAMP)

clean: ## remove everything that was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
