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

.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean distclean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'PYTHON=...        the Python that makes $(VENV), now: $(or $(PYTHON),none that is 3.11 or later was found)'
	@echo 'DEMO_ARGS=...     arguments of benchmarks/demo.py, as in: make demo DEMO_ARGS=--quick'
	@echo 'PYTEST_ARGS=...   arguments of pytest, as in: make test PYTEST_ARGS="-k graphs -x"'

demo: $(STAMP) ## run the demonstration; it writes into demo_output/
	$(BIN)/python benchmarks/demo.py $(DEMO_ARGS)

test: lint ## check style and types, then run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP) ## check style and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(STAMP) ## format the code and mend what ruff can mend
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

clean: ## remove caches, builds and the demonstration's output
	rm -rf build dist docs/_build docs/auto_examples docs/generated demo_output
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks docs mocop_sklearn tests -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove .venv too
	rm -rf $(VENV)

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
