# Everything that is done with this repository, the same on a laptop and in CI. `make help` lists it.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?=
PYTEST := $(BIN)/python -m pytest
# Two workers, a file of tests to one of them; each starts a broker of its own when a test asks for one.
SPREAD := -n 2 --dist loadfile

.PHONY: help demo test test-long chaos check fmt bench measure docs setup clean

help: ## List what can be made.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## From nothing to a bill on the embedded store: a month of traffic, a kill -9, a statement, 0 differences.
	@$(BIN)/tally demo

test: setup ## The ordinary suite, over a real Kafka broker too (a JVM and Maven; without them those tests skip and say so).
	@$(PYTEST) $(SPREAD) -m "not slow" --durations=15 $(ARGS)

test-long: setup ## Every test, the slow ones too, with 20,000 examples of each property of the meter.
	@TALLY_TEST_EXAMPLES=$${TALLY_TEST_EXAMPLES:-20000} $(PYTEST) $(SPREAD) -o timeout=7200 $(ARGS)

chaos: setup ## 1,000 kills and 200 faults of store and brokers under load, then every count compared; ARGS="--seed N".
	@$(BIN)/python -m tests.chaos $(ARGS)

check: setup ## Lint, formatting and strict types.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

fmt: setup ## Format the code and sort its imports.
	@$(BIN)/ruff check --select I --fix --quiet .
	@$(BIN)/ruff format .

bench: setup ## Measure events a second, and the analysts' questions over 100 million rows; OF=analysts: those alone.
	@$(BIN)/python -m benchmarks$(OF:%=.%) $(ARGS)
	$(if $(OF)$(ARGS),,@$(BIN)/python -m benchmarks.analysts)

measure: setup ## Measure operations: telemetry's cost, memory a row and an id, recovery after a kill, delay to visible.
	@$(BIN)/python -m benchmarks.operations $(ARGS)

docs: setup ## Write docs/settings.md and docs/metrics.md from the settings and the metrics themselves.
	@$(BIN)/python -m tally.settings_page > docs/settings.md
	@$(BIN)/python -m tally.telemetry.page > docs/metrics.md

setup: $(STAMP) ## Make .venv and install Tally in it; quick when that is done. PYTHON=/path/to/python chooses one.

# A failed install leaves no stamp, so that the next call goes on with it.
$(STAMP): pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { python=$$(.ci/find-python $(PYTHON)) && "$$python" -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -e '.[dev]'
	@touch $@

clean: ## Remove what tests, benchmarks and the demo left behind; .venv and the broker's jars stay.
	@rm -rf build dist demo-data .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
