# Everything a contributor runs, and the same that CI runs. `make` alone lists the targets.
#
# Wanted on the machine: Python 3.11 or newer with its venv module, make, and a way to the
# package index that pip is configured for. All else is installed in .venv, pinned and hashed.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := build/installed
PYTEST ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test adapter check format docs site links bench bench-dashboard simulate requirements clean clients installed wheel

## List the targets
help:
	@awk '/^## / { comment = substr($$0, 4); next } \
	     comment { sub(/:.*/, ""); printf "make %-15s %s\n", $$0, comment; comment = "" }' $(MAKEFILE_LIST)

## Start a cloud on this machine, deploy the reference project and lift it to production (DEMO=keep leaves it running)
demo: $(VENV)/.full $(VENV)/.project
	@$(BIN)/liftlock demo $(if $(filter keep,$(DEMO)),--keep)

## Run every test, side by side, the end-to-end ones with the installed wheel (PYTEST='-k words' selects)
test: $(VENV)/.dev $(VENV)/.project installed
	LIFTLOCK_PROGRAM=$(CURDIR)/$(INSTALLED)/full/bin/liftlock \
	LIFTLOCK_PROGRAM_BARE=$(CURDIR)/$(INSTALLED)/bare/bin/liftlock \
	$(BIN)/python -m pytest -n auto $(PYTEST)

## Build the example of an adapter, install it beside the project's wheel, and hold it to the contract tests
adapter: wheel $(INSTALLED)/adapter/.requirements
	@rm -rf build/adapter && mkdir -p build/adapter
	@$(BIN)/python -m build --no-isolation --wheel --outdir build/adapter examples/adapter >build/adapter/log 2>&1 || { cat build/adapter/log >&2; exit 1; }
	@$(PIP) --python $(INSTALLED)/adapter/bin/python install -qq --no-deps --force-reinstall build/dist/*.whl build/adapter/*.whl
	@$(PIP) --python $(INSTALLED)/adapter/bin/python install -qq --no-index "$$(echo build/adapter/*.whl)[test]"
	cd examples/adapter && $(CURDIR)/$(INSTALLED)/adapter/bin/python -m pytest -p no:cacheprovider

## Install the vendors' own clients for the tests marked `clients` (they skip without): wants npm
clients:
	@cmp -s tests/e2e/clients/package.json "$(CLIENTS)/installed.json" || { mkdir -p "$(CLIENTS)" && \
	  cp tests/e2e/clients/package.json "$(CLIENTS)/package.json" && \
	  npm install --prefix "$(CLIENTS)" $(NPM_QUIET) && \
	  cp tests/e2e/clients/package.json "$(CLIENTS)/installed.json"; }

# Outside of the repository: a gigabyte of JavaScript, and none of it is the project's. No script of theirs is
# run, and no lock file is written: it would name the index.
CLIENTS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/liftlock/clients
NPM_QUIET := --ignore-scripts --no-package-lock --no-audit --no-fund --no-progress --loglevel=error

## Check formatting, lint, types and the import walls
check: $(VENV)/.dev $(VENV)/.project
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

## Format the code and mend what the linter can mend
format: $(VENV)/.dev
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

## Write the generated reference pages and diagrams anew
docs: $(VENV)/.dev $(VENV)/.project
	$(BIN)/python scripts/reference.py
	$(BIN)/python scripts/diagrams.py

## Play promotions with faults, crashes and several people (SEEDS=10000; SEED=123 tells one story again)
simulate: $(VENV)/.dev $(VENV)/.project
	PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000))

## Build the documentation as a site, in build/site; a link that leads nowhere fails
site: $(VENV)/.dev
	$(BIN)/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going -b html -d build/doctrees docs build/site
	@echo "build/site/index.html"

## Ask every address outside that the documentation links to
links: $(VENV)/.dev
	$(BIN)/sphinx-build --quiet -b linkcheck -d build/doctrees docs build/links

## Measure start-up, promotions, the engine, pushes and a swarm, and print one table of ratios (`make clients` adds the vendors')
bench: $(VENV)/.dev $(VENV)/.project installed
	@mkdir -p build && rm -f build/ratios
	$(MEASURED) $(BIN)/python -m benchmarks.startup --beside "$(CLIENTS)"
	$(BIN)/python -m benchmarks.engine
	$(MEASURED) $(BIN)/python -m benchmarks.promotion --program $(CURDIR)/$(INSTALLED)/full/bin/liftlock
	$(MEASURED) $(BIN)/python -m benchmarks.push
	$(MEASURED) $(BIN)/python -m benchmarks.swarm
	@$(BIN)/python -m benchmarks.ratios build/ratios

## Measure the dashboard with 1,000 to 100,000 records, on SQLite and PostgreSQL (about half an hour; needs wrk and chromium)
bench-dashboard: $(VENV)/.dev $(VENV)/.project
	$(BIN)/python -m benchmarks.dashboard --postgresql --requests 36000

# The installed wheel is measured, and what is compared is kept for one table of all.
MEASURED = LIFTLOCK_PROGRAM=$(CURDIR)/$(INSTALLED)/full/bin/liftlock LIFTLOCK_BENCH=$(CURDIR)/build/ratios

## Pin the requirements anew, from pyproject.toml and requirements/*.in (UPGRADE=1 takes newer versions)
requirements: $(VENV)/.dev
	@: # The files name no index, no folder and no option of this machine's pip.
	$(COMPILE) --all-extras -o requirements/dev.txt pyproject.toml requirements/build.in requirements/dev.in $(if $(UPGRADE),--upgrade)
	$(COMPILE) -c requirements/dev.txt --all-extras -o requirements/full.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt --extra firebase --extra push -o requirements/action.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt $(SERVER) -o requirements/server.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt -o requirements/base.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt -o requirements/build.txt requirements/build.in
	$(COMPILE) -c requirements/dev.txt --extra testing -o requirements/adapter.txt pyproject.toml requirements/adapter.in

SERVER := --extra firebase --extra postgresql --extra push --extra swarm --extra telemetry --extra web
COMPILE := $(BIN)/pip-compile --quiet --no-strip-extras --generate-hashes --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

## Remove what was built and every cache; .venv stays
clean:
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "liftlock needs Python 3.11 or newer, and none was found. Name it: make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "liftlock needs Python 3.11 or newer; $(PYTHON) is older." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/.created
	$(PIP) install -qq --require-hashes -r requirements/dev.txt
	@touch $(VENV)/.full $@

$(VENV)/.full: requirements/full.txt requirements/build.txt | $(VENV)/.created
	$(PIP) install -qq --require-hashes -r requirements/full.txt -r requirements/build.txt
	@touch $@

# The project in place: what is edited is what runs. Again when its entry points may have changed.
$(VENV)/.project: pyproject.toml | $(VENV)/.full
	$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

wheel: $(VENV)/.dev
	@rm -rf build/dist && mkdir -p build/dist
	@$(BIN)/python -m build --no-isolation --outdir build/dist >build/dist/log 2>&1 || { cat build/dist/log >&2; exit 1; }

# The wheel as users get it: without extras, and with the extras. The second install adds nothing: it
# fails when the pinned requirements lack what the wheel asks for.
installed: wheel $(INSTALLED)/bare/.requirements $(INSTALLED)/full/.requirements
	@for form in "bare " "full [firebase,postgresql,sandbox,swarm,web]"; do set -- $$form; \
	  pip="$(PIP) --python $(INSTALLED)/$$1/bin/python install -qq"; \
	  $$pip --no-deps --force-reinstall build/dist/*.whl && \
	  $$pip --no-index "$$(echo build/dist/*.whl)$$2" || exit 1; done

$(INSTALLED)/bare/.requirements: requirements/base.txt
$(INSTALLED)/full/.requirements: requirements/full.txt
$(INSTALLED)/adapter/.requirements: requirements/adapter.txt
$(INSTALLED)/bare/.requirements $(INSTALLED)/full/.requirements $(INSTALLED)/adapter/.requirements: | $(VENV)/.dev
	@rm -rf $(@D)
	$(BIN)/python -m venv --without-pip $(@D)
	$(PIP) --python $(@D)/bin/python install -qq --require-hashes -r $(firstword $^)
	@touch $@
