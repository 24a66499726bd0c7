# The same names in README, CI and conversation. Everything happens in .venv; nothing else on the machine changes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BASE   ?= auto

.PHONY: demo test check bench clean
.DEFAULT_GOAL := test

# The environment is made anew when pyproject.toml changes; the stamp is written last, so that a broken install is repeated.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "submodel needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=24.1'
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[build,dev]'
	@touch $@

demo: $(VENV)/installed  ## build a sub-model of a real repository and show its completions
	$(BIN)/python -m benchmarks.demo --base $(BASE)

test: $(VENV)/installed  ## all tests, with one real build on the packaged small base
	$(BIN)/python -m pytest

check: $(VENV)/installed  ## style, types and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
