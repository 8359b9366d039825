# Every target sets up what it needs in .venv: with uv where it is installed, else with Python's own venv and pip.
.DEFAULT_GOAL := help
.PHONY: help demo test check static format bench lock clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= python3

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@echo "Setting up $(VENV) ..."
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --python $(BIN)/python -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps --editable . ; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . ; \
	fi
	@touch $(READY)

demo: $(READY) ## run the sample lake's nightly job and look around in it
	@rm -rf data/demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

test: $(READY) ## run the whole test suite
	@$(BIN)/python -m pytest -n auto

static: $(READY) ## format, lint, layers and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

check: static test ## the whole gate: format, lint, layers, types, tests, docs examples

format: $(READY) ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## measure against the peers (takes minutes, downloads them)
	$(BIN)/python benchmarks/run.py

lock: ## pin the newest versions that fit pyproject.toml
	uv pip compile --quiet --universal --upgrade --no-header --no-annotate --group dev pyproject.toml --output-file requirements.lock

clean: ## remove what the other targets made
	rm -rf $(VENV) data/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
