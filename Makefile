# The same names in README, CI and conversation. Everything happens in .venv; nothing else on the machine changes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BASE   ?= auto

EXTENSION := vscode-extension
PRODUCT   := contract builder exporters lsp_server submodel laboratory fleet
TYPES     := types-linux types-darwin types-win32

# Empty is off. pip compiles nothing here (--no-compile): the first process that imports a module writes its bytecode. Where
# this variable is set, none does, and each process compiles torch and transformers again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-fast test-tools check $(TYPES) docs audit lock vsix test-editor-prepare test-editor clean
.DEFAULT_GOAL := test

# The environment is made anew when pyproject.toml changes, without what `make test-tools` has added to it; the stamp is
# written last, so that a broken install is repeated.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "submodel needs Python 3.11 to 3.14; set PYTHON=")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=24.1'
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[build,dev]'
	@touch $@

demo: $(VENV)/installed  ## build a sub-model of a real repository and show its completions
	$(BIN)/python -m benchmarks.demo --base $(BASE)

# tests/conftest.py puts the longest files first. Threads that spin at barriers would slow the other file's tests.
test: $(VENV)/installed  ## all tests, two files at a time, with one real build on the packaged small base
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Its last line says how many tests it left out.
test-fast: $(VENV)/installed  ## the quick tests: about a minute on two cores, without a network
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile -q

# A test skips without its program and says so.
test-tools: $(VENV)/installed  ## what the tests of other programs need: editors, Ray, llama.cpp, other runtimes, Chromium
	PYTHON=$(BIN)/python tests/e2e/install.sh

check: docs  ## style, types as on Linux, macOS and Windows, the import contracts, and the links of the pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory --keep-going --jobs 3 $(TYPES)
	$(BIN)/lint-imports
	$(BIN)/python dev/budgets.py
	@# The extension's side: `npm run check` in vscode-extension/.
	$(BIN)/python -m submodel.schema_files | diff - docs/schema/documents.schema.json

# A cache for each, since mypy throws away what it knows of another system. Tests of POSIX are marked, which it can't read.
$(TYPES): types-%: $(VENV)/installed
	$(BIN)/mypy --platform $* --cache-dir .mypy_cache/$* $(if $(filter linux,$*),,$(PRODUCT))

# What is tracked or about to be, under its own path: `tar` keeps folders on every system, where `cp --parents` does not.
docs: $(VENV)/installed  ## the pages as a site in build/site; fails at a link that leads nowhere
	@rm -rf build/pages && mkdir -p build/pages
	@git ls-files --cached --others --exclude-standard -- '*.md' docs vscode-extension/media 'benchmarks/results/*.svg' ':!tests' \
	  ':!.github' ':!*/CHANGELOG.md' | tar -cf - -T - | tar -xf - -C build/pages
	@# Not --quiet: it would pass over what --strict fails at.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Not a part of `check`, which works without a network; it says so where it can't ask.
audit: $(VENV)/installed  ## known faults of what we depend on, by pip-audit and npm audit
	$(BIN)/python -m benchmarks.audit

lock: $(VENV)/installed  ## requirements-dev.lock: the versions that are installed here
	@echo "# What the tests ran with, written by \`make lock\` (pip freeze). Linux; other systems differ." \
	  > requirements-dev.lock.new
	@$(BIN)/python -m pip freeze --exclude-editable >> requirements-dev.lock.new
	@sed 's/+cpu$$//' requirements-dev.lock.new > requirements-dev.lock && rm requirements-dev.lock.new

# npm's own record of what it has installed; nothing is asked of the network when it is newer than the lock file.
$(EXTENSION)/node_modules/.package-lock.json: $(EXTENSION)/package-lock.json
	cd $(EXTENSION) && npm ci --ignore-scripts --loglevel=error
	@touch $@

vsix: $(EXTENSION)/node_modules/.package-lock.json  ## the VS Code extension as one file that installs offline
	cd $(EXTENSION) && npm run --silent package

# Beside npm's packages: code-server in vscode-extension/out/editor, and Chromium from Debian where there is none.
test-editor-prepare: vsix  ## the extension without Python: style, types, unit tests, and what the real VS Code needs
	cd $(EXTENSION) && npm run --silent check
	cd $(EXTENSION) && npm test --silent
	$(EXTENSION)/e2e/install.sh

test-editor: $(VENV)/installed test-editor-prepare  ## the extension: that, and a real VS Code that builds and suggests
	cd $(EXTENSION) && npm run --silent test:editor

clean:
	rm -rf $(EXTENSION)/node_modules $(EXTENSION)/dist $(EXTENSION)/out
	rm -rf $(VENV) build .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
