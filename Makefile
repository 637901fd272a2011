# Commands of development. Targets that need the virtual environment create it first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed-from-pyproject

.PHONY: demo test quick check check-format check-lint check-types check-docs bench docs clean

demo: $(INSTALLED)  ## the whole workflow on embedded data and weights
	$(BIN)/transferkit demo

test: $(INSTALLED)  ## all tests, in two processes with one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

quick: $(INSTALLED)  ## the tests that take less than about ten seconds each
	$(BIN)/python -m pytest -m "not slow"

check: check-format check-lint check-types check-docs  ## formatting, lint, types and generated pages

check-format: $(INSTALLED)
	$(BIN)/python -m ruff format --check .

check-lint: $(INSTALLED)
	$(BIN)/python -m ruff check .

check-types: $(INSTALLED)
	$(BIN)/python -m mypy

check-docs: $(INSTALLED)
	$(BIN)/python docs/build_cli.py --check
	$(BIN)/python docs/build_datasets.py --check

bench: $(INSTALLED)  ## the tables of docs/performance.md
	$(BIN)/python -m tests.benchmarks

docs: $(INSTALLED)  ## write the generated pages
	$(BIN)/python docs/build_cli.py
	$(BIN)/python docs/build_datasets.py --registry

clean:  ## remove caches and build products, but not the environment and the workspace
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@
