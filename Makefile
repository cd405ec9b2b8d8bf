# Every target is explained by `make help`.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --no-header
LOCKS := requirements/dev.lock requirements/data.lock
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lock clean bench-speed chaos docs

help: ## Explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "The virtual environment is made with python3, or with the one you name: make setup PYTHON=python3.12"

setup: $(STAMP) ## Prepare .venv from the hashed lock files (quick when nothing changed)

$(STAMP): requirements/build.lock $(LOCKS) pyproject.toml
	@$(PYTHON) scripts/check_python.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/build.lock
	$(PIP) --require-hashes $(LOCKS:%=-r %)
	$(PIP) --editable .
	@touch $@

# As environment variables of the recipe, so that the shell takes quotes and dollar signs of a file's name as they are.
demo: override export INPUT := $(value INPUT)
demo: override export OUTPUT := $(value OUTPUT)
demo: setup ## The main job end to end with the official SDK: make demo [INPUT=file] [OUTPUT=dir]
	$(BIN)/python scripts/demo.py $${INPUT:+--input="$$INPUT"} $${OUTPUT:+--output="$$OUTPUT"}

test: setup ## Run the whole test suite
	$(BIN)/python -m pytest

check: setup ## Linters, types, layers, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_reference.py --check

format: setup ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## Write the generated reference pages
	$(BIN)/python scripts/generate_reference.py

bench-speed: setup ## Compare the denoiser's speed with the public streaming runtime
	$(BIN)/sordino bench speed

chaos: setup ## Kill workers at random while jobs run, and count the results (about two minutes)
	$(BIN)/python scripts/chaos.py

lock: setup ## Pin what pyproject.toml asks for in requirements/; pins that still fit stay (data.lock is kept by hand)
	$(COMPILE) --group build --output-file requirements/build.lock
	$(COMPILE) --group dev --extra demo pyproject.toml --output-file requirements/dev.lock

clean: ## Remove what setup and the demo made
	rm -rf $(VENV) demo
