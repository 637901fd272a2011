# Everything that is done to this project, one word each. A target that needs the environment makes it first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed-from-pyproject

.PHONY: demo test quick check check-format check-lint check-types check-docs bench docs clean

demo: $(INSTALLED)  ## the whole chain on embedded data and weights
	$(BIN)/transferkit demo

test: $(INSTALLED)  ## every test, in two processes of one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

quick: $(INSTALLED)  ## the tests that take less than about ten seconds each
	$(BIN)/python -m pytest -m "not slow"

check: check-format check-lint check-types check-docs  ## everything that is said without running the code

check-format: $(INSTALLED)
	$(BIN)/python -m ruff format --check .

check-lint: $(INSTALLED)
	$(BIN)/python -m ruff check .

check-types: $(INSTALLED)
	$(BIN)/python -m mypy

check-docs: $(INSTALLED)
	$(BIN)/python docs/build_cli.py --check
	$(BIN)/python docs/build_datasets.py --check

bench: $(INSTALLED)  ## the measured ratios, as tables
	$(BIN)/python -m tests.benchmarks

docs: $(INSTALLED)  ## the pages that are built, never written
	$(BIN)/python docs/build_cli.py
	$(BIN)/python docs/build_datasets.py --registry

clean:  ## caches and build products; the environment and the workspace stay
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@
