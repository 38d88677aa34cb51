# What people and CI run. A fresh Debian machine needs Python >= 3.11 with pip and venv, make, Node 20 and npm, gcc.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Hashes make a tampered download fail; --no-deps because the lock is complete.
LOCKED := $(PIP) --require-hashes --no-deps
# Hatchling comes from the lock too, so building the package downloads nothing.
SELF := $(PIP) --no-deps --no-build-isolation --editable .
KERNELS := $(shell find src -name '*.py')

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export NO_MKDOCS_2_WARNING := 1

.PHONY: help demo test lint types docs lock bench readers viewer system clean

help:
	@echo "make demo   ingest a real scene and scan, paint, export, and serve (SCENE=… SCAN=… SERVE=0)"
	@echo "make test   linters, types, documents and all tests"
	@echo "make docs   build the documents into site/"
	@echo "make bench  measure against other libraries and print the tables"
	@echo "make readers  read exports back with the tools that they are for, in an environment of their own"
	@echo "make lock   resolve the dependencies again (UPGRADE=1 for newer releases)"
	@echo "make clean  remove everything that was made here"

# ---- environment: stamps tell which of the two dependency sets the venv holds

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bigimage needs Python 3.11 or newer; name one with make PYTHON=…")'
	$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(LOCKED) -r requirements/demo.txt
	$(SELF)
	@touch $@

.venv/test.stamp: requirements/lock.txt pyproject.toml | $(BIN)/python
	$(LOCKED) -r requirements/lock.txt
	$(SELF)
	@touch $@ .venv/run.stamp

# numba keeps compiled kernels beside their modules: compiled once here, they are nobody's wait later
.venv/kernels.stamp: $(KERNELS) | .venv/run.stamp
	$(BIN)/bigimage doctor --compile
	@touch $@

# ---- the viewer and the browser tests: built by npm when they are there

VIEWER := $(wildcard tilesrv/viewer/package.json)
BROWSER := $(wildcard tests/browser/package.json)
viewer: $(VIEWER:package.json=dist/index.html)

tilesrv/viewer/dist/index.html: $(shell find tilesrv/viewer \( -name node_modules -o -name dist \) -prune -o -type f -print 2>/dev/null)
	npm ci --prefix tilesrv/viewer --no-audit --no-fund --loglevel=error
	npm run build --prefix tilesrv/viewer
	@touch $@

tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json
	npm ci --prefix tests/browser --no-audit --no-fund --loglevel=error
	@touch $@

# ---- what people run

# Beside the samples a synthetic chest CT, unless SCAN names a scan of your own.
CHEST := build/synthetic-chest
demo: .venv/run.stamp .venv/kernels.stamp viewer $(if $(SCAN),,$(CHEST))
	@$(BIN)/bigimage demo $${SCENE:+--scene "$$SCENE"} $(if $(SCAN),--scan "$$SCAN",--synthetic $(CHEST)) $(if $(filter 0 no false,$(SERVE)),--no-serve)

# moved into place when whole, so that an interrupted run leaves no part of a scan
$(CHEST): | .venv/run.stamp
	@mkdir -p $(@D) && rm -rf $@.partial
	@$(BIN)/python -m fixtures.make ct $@.partial --slices 160 >/dev/null && mv $@.partial $@

test: system .venv/test.stamp .venv/kernels.stamp viewer $(BROWSER:package.json=node_modules/.package-lock.json) lint types docs
	$(BIN)/python -m pytest

# Only CI changes the machine; elsewhere what is missing shows as a skipped test.
system:
	@if [ "$$CI" = true ]; then .ci/system-packages; fi

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/test.stamp
	$(BIN)/pyright

docs: .venv/test.stamp
	$(BIN)/mkdocs build --strict --quiet

BENCHMARKS := ingest tiles serve
bench: .venv/test.stamp .venv/kernels.stamp
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

readers: .venv/test.stamp
	$(BIN)/python -m benchmarks.readers
	$(BIN)/python -m benchmarks.readers_medical

# One resolution for every Python from 3.11 up; the demo's set is held to the versions of the whole.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock" pyproject.toml requirements/build.in
lock: .venv/test.stamp
	$(COMPILE) --all-extras $(if $(UPGRADE),--upgrade) --output-file requirements/lock.txt
	$(COMPILE) --extra demo --constraint requirements/lock.txt --output-file requirements/demo.txt

clean:
	rm -rf .venv .venv-readers site build dist .pytest_cache .ruff_cache .hypothesis tilesrv/viewer/dist tilesrv/viewer/node_modules tests/browser/node_modules
	find src tilesrv tests fixtures benchmarks -name __pycache__ -type d -exec rm -rf {} +
