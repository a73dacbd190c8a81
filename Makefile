# The two commands of a newcomer are `make demo` and `make test`; everything they need they set up themselves.

PYTHON ?=
export PYTHON
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
WORKERS ?= auto

.PHONY: demo test check unit long bench docs clean wheel test-kernel

demo: $(STAMP)
	$(BIN)/neurostim demo

test: check unit

# Lint, format, types and the layers of the architecture.
check: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(TEST_STAMP)
	$(BIN)/pytest -n $(WORKERS)

# The campaigns that take minutes to hours.
long: $(TEST_STAMP)
	$(BIN)/pytest -n $(WORKERS) --long

# A stock Debian kernel in an emulated computer uses the simulated device; it fetches a system of its own, as root.
test-kernel: $(STAMP)
	$(BIN)/python tests/kernel/run.py

bench: $(STAMP)
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

$(VENV)/bin/python:
	@./.ci/bootstrap "$(VENV)"

$(STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable .
	@touch $@

$(TEST_STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	@./.ci/compiler
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[test]'
	@touch $@ $(STAMP)

wheel: $(TEST_STAMP)
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
