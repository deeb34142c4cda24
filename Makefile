# Each target does all its own set-up; nothing but Python >= 3.11 (with venv) and make is needed.
#   make demo    serve the embedded demo on 127.0.0.1:8000       ARGS="--port 9000" passes arguments on
#   make test    the tests, a file at a time in two processes    ARGS="-k config" likewise
#   make check   lint, types, the import law
#   make bench   the numbers of docs/benchmarks.md            BENCH=scoring: what an answer costs, not what loading does
#   make docs    the generated pages of docs/reference
#   make images  the pictures of the dashboard in docs/images, from a running server in a Chromium
#   make clean   remove what these made

SHELL := /bin/sh
# In an empty environment make itself would find no command.
PATH ?= /usr/local/bin:/usr/bin:/bin
export PATH
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check bench docs images clean

# The first Python that is new enough and can make a virtual environment.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v "$$python"; break; }; done)
VENV := .venv
BASE_VENV := .venv-base
PIP_INSTALL := -m pip --disable-pip-version-check --quiet install
ARGS ?=
BENCH ?= loading

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.ready-train
	@exec $(VENV)/bin/holdfast demo $(ARGS)

test: $(VENV)/.ready-test $(BASE_VENV)/.ready
	@HOLDFAST_BASE_PYTHON="$(CURDIR)/$(BASE_VENV)/bin/python" $(VENV)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.ready-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports

bench: $(VENV)/.ready-test
	@exec $(VENV)/bin/python -m bench.$(BENCH) $(ARGS)

docs: $(VENV)/.ready-test
	@mkdir -p docs/reference
	$(VENV)/bin/python -m config.reference > docs/reference/settings.md
	$(VENV)/bin/python -m service.reference cli > docs/reference/cli.md
	$(VENV)/bin/python -m service.reference http > docs/reference/http.md
	$(VENV)/bin/python -m service.reference metrics > docs/reference/metrics.md
	$(VENV)/bin/python -m training.trainers.reference > docs/reference/training.md
	$(VENV)/bin/python -m bench.estimators > $(VENV)/estimators.md
	mv $(VENV)/estimators.md docs/reference/estimators.md

images: $(VENV)/.ready-test
	@$(VENV)/bin/python -m tests.acceptance.browser.images

clean:
	rm -rf $(VENV) $(BASE_VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps, so that a second run starts at once; a changed declaration installs again.
$(VENV)/bin/python $(BASE_VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with the venv module is needed (Debian: apt-get install python3-venv);" \
		"name it with PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Making $(@D:/bin=) with $(PYTHON)" >&2
	@$(PYTHON) -m venv $(@D:/bin=)

$(VENV)/.ready-train: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "Installing holdfast[train] (the first time takes a minute)" >&2
	@$(VENV)/bin/python $(PIP_INSTALL) -e '.[train]'
	@touch $@

$(VENV)/.ready-test: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "Installing holdfast[test] (the first time takes a few minutes)" >&2
	@$(VENV)/bin/python $(PIP_INSTALL) -e '.[test]'
	@touch $@ $(VENV)/.ready-train

# Without extras: tests serve models from here that were trained in the other one.
$(BASE_VENV)/.ready: setup.cfg pyproject.toml | $(BASE_VENV)/bin/python
	@echo "Installing holdfast alone, into $(BASE_VENV)" >&2
	@$(BASE_VENV)/bin/python $(PIP_INSTALL) -e .
	@touch $@
