# Every target is explained by `make help`.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?= bench-data
WORKERS ?= auto
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --no-header
BENCH_STAMP := $(VENV)/.bench-installed
STORES := $(VENV)/stores
STORES_STAMP := $(STORES)/.installed
LOCKS := requirements/dev.lock requirements/data.lock
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lock clean chaos kill-uploads fuzz fuzz-requests docs bench-tools bench-data bench-sound bench-speed bench-memory bench-scaling bench-api bench-jobs bench-policy bench-store bench-store-memory spectrograms

help: ## Explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
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

# Neighbours in a file stay together as long as nobody is idle: who has nothing left takes the end of another's list.
test: setup ## Run the whole test suite, a process more than there are cores: make test [WORKERS=number, 0: one by one]
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

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

bench-tools: $(BENCH_STAMP) ## Install what bench-sound scores with (needs a C compiler) and the public runtimes

# PESQ is built by the isolated front end's rules, which leave out what its setup.py would download.
$(BENCH_STAMP): $(STAMP) requirements/bench.lock requirements/runtimes.lock
	$(PIP) --use-pep517 --require-hashes -r requirements/bench.lock
	$(PIP) --only-binary :all: --require-hashes -r requirements/runtimes.lock || \
	  echo "A public runtime has no wheel for this machine: the benches go on without them."
	@touch $@

bench-data: setup ## Make a set of noisy and clean recordings from Debian packages: make bench-data [DATA=dir]
	$(BIN)/python scripts/noisy_speech.py $(DATA)

bench-sound: bench-tools ## Score the engines on a set of recordings: make bench-sound [DATA=dir]
	$(BIN)/sordino bench sound --data $(DATA)

bench-speed: bench-tools ## Compare the engines' speed with the public runtimes and the machine's limit
	$(BIN)/sordino bench speed

bench-memory: setup ## Compare the memory of ten hours of audio with that of ten minutes (takes long)
	$(BIN)/sordino bench memory

bench-scaling: setup ## Compare two jobs at once with one after the other
	$(BIN)/sordino bench scaling

bench-api: setup ## Measure the job calls with few and with 100,000 stored jobs, beside a bare application (about four minutes)
	$(BIN)/python scripts/bench_api.py

bench-jobs: setup ## Measure order, fairness, rates, latencies and overhead of jobs (about twelve minutes)
	$(BIN)/python scripts/bench_jobs.py $(BENCH_OPTIONS)

bench-policy: setup ## Measure decisions over policies, and their share of a request (about a minute)
	$(BIN)/python scripts/bench_policy.py $(BENCH_OPTIONS)

# An environment of its own: boto3, of moto, wants other versions than the rest has.
$(STORES_STAMP): $(STAMP) requirements/stores.lock
	@test -x $(STORES)/bin/python || $(BIN)/python -m venv --without-pip $(STORES)
	$(BIN)/python -m pip --disable-pip-version-check --python $(STORES)/bin/python install --quiet --no-deps \
	  --only-binary :all: --require-hashes -r requirements/stores.lock
	@touch $@

bench-store: $(STORES_STAMP) ## Measure how fast objects go in and out, beside moto and SeaweedFS (about ten minutes)
	$(BIN)/python scripts/bench_store.py $(BENCH_OPTIONS)

bench-store-memory: setup ## Compare the API's memory with objects of 2 GB to that with 64 MB: make bench-store-memory [SIZES="64 5120", MB]
	$(BIN)/python scripts/store_memory.py $(SIZES:%=--megabytes %)

spectrograms: setup ## Draw five recordings of a set before and after: make spectrograms [DATA=dir]
	$(BIN)/python scripts/spectrograms.py --data $(DATA)

fuzz: setup ## Read 10,000 broken media files in the real media process, and count what came of them (about eight minutes)
	$(BIN)/python scripts/fuzz_media.py

fuzz-requests: setup ## Send 20,000 broken requests to a server, and count how they are refused (about three minutes)
	$(BIN)/python scripts/fuzz_requests.py

chaos: setup ## Kill everything at random while jobs run, and count what came of them: make chaos [CHAOS_JOBS=1000] [CHAOS_SEED=1] [CHAOS_AMQP=own|amqp://...]
	$(BIN)/python scripts/chaos.py $(CHAOS_JOBS:%=--jobs %) $(CHAOS_SEED:%=--seed %) $(CHAOS_AMQP:%=--amqp %) $(CHAOS_OPTIONS)

kill-uploads: setup ## Kill the server at random while clients upload, and count what came of it: make kill-uploads [KILL_OPTIONS="--uploads 200 --seed 1"]
	$(BIN)/python scripts/kill_uploads.py $(KILL_OPTIONS)

lock: setup ## Pin what pyproject.toml asks for in requirements/; pins that still fit stay (data.lock is kept by hand)
	$(COMPILE) --group build --output-file requirements/build.lock
	$(COMPILE) --group dev --extra demo pyproject.toml --output-file requirements/dev.lock
	$(COMPILE) --no-deps --group scores --output-file requirements/bench.lock
	$(COMPILE) --no-deps --group runtimes --output-file requirements/runtimes.lock
	$(COMPILE) --group stores --output-file requirements/stores.lock

clean: ## Remove what setup and the demo made
	rm -rf $(VENV) demo
