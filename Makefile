# Everything a newcomer needs: `make demo`, `make test`. Needs Python 3.11 or later and make; the rest is set up in .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.ready-runtime
DEV_STAMP := $(VENV)/.ready-dev
KERNEL := setup.py $(wildcard src/dynwork/kinds/native/*)
TIMES := 10
SEEDS := 20

.PHONY: help demo up test check lint types layers sanitize chaos soak rollout bench bench-kernel bench-worker bench-store bench-surface lock client pictures docs clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(RUN_STAMP) ## a whole cluster, a burst of jobs, every hash checked; about a minute
	@$(BIN)/dynwork demo

up: $(RUN_STAMP) ## keep a cluster running on this machine until Ctrl-C (options: make up ARGS="--apis 3")
	@$(BIN)/dynwork up $(ARGS)

test: lint types layers ## everything: lint, types, layers, every test
	scripts/test.sh $(ARGS)

check: lint types layers ## the fast part, under 90 s
	$(BIN)/pytest -m "not system and not thorough" --numprocesses auto --maxprocesses 8 --maxfail 5 $(ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP)
	$(BIN)/mypy

layers: $(DEV_STAMP)
	$(BIN)/lint-imports

sanitize: $(DEV_STAMP) ## the kernel's tests against a build that stops at any wrong access (needs gcc)
	scripts/sanitize.sh $(ARGS)

chaos: $(DEV_STAMP) ## kill, stop and cut off every part under load, for an hour (TIMES=1: the ten minutes of make test)
	DYNWORK_TEST_LONGER=$(TIMES) $(BIN)/pytest -m system \
		-k "test_chaos or test_backup or survive_20_workers or killed_again_and_again" $(ARGS)

soak: $(DEV_STAMP) ## live through days of an EC2 fleet in virtual time, each with mishaps of its own (SEEDS=20)
	DYNWORK_TEST_SEEDS=$(SEEDS) $(BIN)/pytest tests/fleet/test_soak.py --numprocesses auto --maxprocesses 8 $(ARGS)

rollout: $(DEV_STAMP) ## scripts/init.sh in the cloud of the tests, with every mishap; half an hour, as root
	$(BIN)/pytest tests/aws/test_init.py tests/aws/test_init_stack.py tests/aws/test_lab.py tests/aws/test_rollout.py $(ARGS)

bench: $(RUN_STAMP) ## the load generator: accepted and completed jobs a second, latency
	$(BIN)/python -m benchmarks.path $(ARGS)

bench-kernel: $(RUN_STAMP) ## the kernel beside the Python loop and a C loop over OpenSSL, in turns; a minute or two
	$(BIN)/python -m benchmarks.kernel $(ARGS)

bench-worker: $(RUN_STAMP) ## what a worker delivers of what the kernel can do, lease to result; five minutes
	$(BIN)/python -m benchmarks.worker $(ARGS)

bench-store: $(DEV_STAMP) ## what SQLite and PostgreSQL make of rounds, in front of up to five million rows; a quarter of an hour
	$(BIN)/python -m benchmarks.store $(ARGS)

bench-surface: $(RUN_STAMP) ## what an API bears: bodies that trickle in, a thousand requests that wait; a minute
	$(BIN)/python -m benchmarks.surface $(ARGS)

lock: $(DEV_STAMP) ## resolve requirements/*.in anew
	scripts/lock.sh $(ARGS)

client: $(DEV_STAMP) ## generate the synchronous client from the asynchronous one
	$(BIN)/python scripts/sync_client.py

pictures: $(DEV_STAMP) ## take the pictures of the page in docs/pictures anew (needs chromium)
	DYNWORK_TEST_PICTURES=docs/pictures $(BIN)/pytest tests/browser/test_looks.py -k sticks_out $(ARGS)

docs: $(DEV_STAMP) ## generate docs/reference from the code
	$(BIN)/python -m scripts.reference
	$(BIN)/python -m scripts.state_diagram

clean: ## remove what was made here, the virtual environment included
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/*.egg-info
	rm -f src/dynwork/kinds/_*.so
	find src tests examples benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# Set up once, and again when the pins, the project's metadata or the kernel's sources change. dev includes runtime.
$(RUN_STAMP): requirements/runtime.txt pyproject.toml scripts/bootstrap.sh $(KERNEL)
	@scripts/bootstrap.sh runtime

$(DEV_STAMP): requirements/dev.txt requirements/runtime.txt pyproject.toml scripts/bootstrap.sh $(KERNEL)
	@scripts/bootstrap.sh dev
