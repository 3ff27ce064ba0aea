# Every target sets itself up: a fresh machine needs Python 3.11 or newer, git and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A place in a file, path:line:column; give one of your own: make try PLACE=~/code/shop/cart.py:120:9
PLACE ?= engine/model_folder.py:$(shell grep -n -m1 "raise ModelFolderError.f.cannot write" engine/model_folder.py | cut -d: -f1):15

.PHONY: try test check lint types format lock clean vscode

try: $(VENV)/.installed
	@echo "==> completing at $(PLACE) (the rest of that line is hidden from the model)"
	@$(BIN)/midfill complete $(PLACE) --erase-line-rest

test: $(VENV)/.installed-dev
	@echo "==> running all tests"
	@$(BIN)/python -m pytest

check: $(VENV)/.installed-dev format lint types
	@$(BIN)/python -m pytest -m "not slow and not editor"

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# The extension for VS Code, as editors/vscode/dist/midfill.vsix.
vscode: editors/vscode/node_modules
	@cd editors/vscode && npm run --silent package

editors/vscode/node_modules: editors/vscode/package-lock.json
	@cd editors/vscode && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# What CI and every fresh machine install, to the version. Run after a change of pyproject.toml.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --upgrade pip
	build/lock/bin/pip install --quiet "torch==2.13.0" -e ".[dev]"
	build/lock/bin/pip freeze --exclude-editable | sed "s/+cpu$$//" > requirements.lock

$(BIN)/python:
	@echo "==> creating $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "midfill needs Python 3.11 or newer; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(BIN)/python pyproject.toml requirements.lock
	@echo "==> installing midfill and what it needs (PyTorch is large: some minutes)"
	@$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml requirements.lock
	@echo "==> installing midfill, its development tools and what they need (PyTorch is large: some minutes)"
	@$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[dev]"
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
