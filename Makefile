# A new checkout needs Python 3.11 or later with pip, and this file: `make demo`, `make test`.

ifndef PYTHON
PYTHON := $(shell for python in python3 python3.11 python3.12 python3.13; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$python"; break; fi; done)
endif
VENV := .venv
BIN := $(VENV)/bin
# Written last, so that its absence tells of an installation that was cut short.
STAMP := $(VENV)/.installed
DEMO_ARGS ?=
PYTEST_ARGS ?=
# Two workers on two cores: one thread each, and none that waits in a busy loop.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-min lint format docs wheel clean distclean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'PYTHON=...        the Python that makes $(VENV), now: $(or $(PYTHON),none that is 3.11 or later was found)'
	@echo 'DEMO_ARGS=...     arguments of benchmarks/demo.py, as in: make demo DEMO_ARGS=--quick'
	@echo 'PYTEST_ARGS=...   arguments of pytest, as in: make test PYTEST_ARGS="-k graphs -x"'

demo: $(STAMP) ## run the demonstration; it writes into demo_output/
	$(BIN)/python benchmarks/demo.py $(DEMO_ARGS)

test: lint ## check style and types, then run all tests
	$(PYTEST) $(PYTEST_ARGS)

test-fast: $(STAMP) ## run the tests that take no seconds each, in two minutes
	$(PYTEST) -m "not slow and not integration" $(PYTEST_ARGS)

test-min: ## run the tests with the lowest versions of all direct dependencies
	PYTHON="$(PYTHON)" .ci/test-min $(PYTEST_ARGS)

lint: $(STAMP) ## check style, spelling and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m codespell_lib
	$(BIN)/python -m mypy

format: $(STAMP) ## format the code and mend what ruff can mend
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

docs: $(VENV)/.docs ## write the documentation site into docs/_build/html; a warning is an error
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m sphinx --fail-on-warning --keep-going docs docs/_build/html

wheel: $(STAMP) ## build the wheel and the source archive into dist/; .ci/test-wheel tries them
	$(BIN)/python -m pip install -c constraints.txt build
	$(BIN)/python -m build --outdir dist .

clean: ## remove caches, builds and the demonstration's output
	rm -rf build dist docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst demo_output
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks docs mocop_sklearn tests -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove the environments too
	rm -rf $(VENV) .venv-min

# The environment is mended in place. Metadata without the name of an installer is of a package whose installation was
# cut short; pip would take it for installed, so that metadata goes first.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or later is needed; name one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@rm -f $@
	$(PYTHON) -m venv $(VENV)
	@find $(VENV)/lib/python3*/site-packages -mindepth 1 -maxdepth 1 -name '*.dist-info' ! -exec test -e {}/INSTALLER \; \
		-prune -exec rm -rf {} +
	$(BIN)/python -m pip install -c constraints.txt -e ".[test]"
	$(BIN)/python -m pip check
	@touch $@

# What the site needs, beside what the tests need.
$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install -c constraints.txt -e ".[docs]"
	@touch $@
