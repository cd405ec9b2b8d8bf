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

setup: $(STAMP) ## Prepare .venv from the hashed lock files (quick when nothing changed)

$(STAMP): requirements/build.lock $(LOCKS) pyproject.toml
	@$(PYTHON) scripts/check_python.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/build.lock
	$(PIP) --require-hashes $(LOCKS:%=-r %)
	$(PIP) --editable .
	@touch $@

demo: setup ## The main job end to end with the official SDK: make demo [INPUT=file] [OUTPUT=dir]
	$(BIN)/python scripts/demo.py $(if $(INPUT),--input "$(INPUT)") $(if $(OUTPUT),--output "$(OUTPUT)")

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

chaos: setup ## Kill workers at random while jobs run, and count the results
	$(BIN)/python scripts/chaos.py

lock: setup ## Resolve the dependencies anew into requirements/
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --group build --output-file requirements/build.lock
	$(COMPILE) --group dev --extra demo pyproject.toml --output-file requirements/dev.lock

clean: ## Remove what setup and the demo made
	rm -rf $(VENV) demo
