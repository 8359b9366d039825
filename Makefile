# Every target sets up what it needs in .venv: with uv where it is installed, else with Python's own venv and pip.
.DEFAULT_GOAL := help
.PHONY: help demo test check static mlmd format bench lock clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MLMD := .venv-mlmd
MLMD_READY := $(MLMD)/.ready
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

# ML Metadata's wheels are for Python up to 3.11 and bind protobuf below 5: an environment of its own.
$(MLMD_READY): tests/mlmd/requirements.txt
	@echo "Setting up $(MLMD) ..."
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python 3.11 $(MLMD) && \
		uv pip install --quiet --python $(MLMD)/bin/python -r tests/mlmd/requirements.txt ; \
	else \
		found= ; \
		for python in $(PYTHON) python3.11; do \
			if $$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
		done ; \
		if [ -z "$$found" ]; then \
			echo "ML Metadata's client has no wheel for Pythons above 3.11, and $(PYTHON) is another: install Python 3.11," >&2 ; \
			echo "name it (make mlmd PYTHON=/path/to/python3.11), or install uv, which fetches one." >&2 ; \
			exit 1 ; \
		fi ; \
		$$found -m venv $(MLMD) && \
		$(MLMD)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/mlmd/requirements.txt ; \
	fi
	@touch $(MLMD_READY)

demo: $(READY) ## run the sample lake's nightly job and look around in it
	@rm -rf data/demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

test: $(READY) ## run the whole test suite
	@$(BIN)/python -m pytest -n auto --dist worksteal

mlmd: $(MLMD_READY) ## ML Metadata's own tests against our client, and both clients against each other
	$(MLMD)/bin/python tests/mlmd/suite.py
	$(MLMD)/bin/python -m pytest -q --confcutdir=tests/mlmd tests/mlmd/test_against_real.py
	GLOG_minloglevel=2 $(MLMD)/bin/python tests/mlmd/filters.py
	GLOG_minloglevel=2 $(MLMD)/bin/python tests/mlmd/lineage.py

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
	rm -rf $(VENV) $(MLMD) data/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
