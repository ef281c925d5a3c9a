# make demo   the whole study in small, on this machine
# make test   the tests
# make lint   style and workflow checks
#
# PYTHON=python3.12       another interpreter (3.11 or newer)
# TORCH_INDEX=<address>   package index to take PyTorch from, such as PyTorch's own with CPU builds

PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint envs/lock.txt
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' envs/requirements.txt)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test lint schema
demo: .venv/ready
	snakemake --profile profiles/demo all

test: .venv/ready-dev
	python -m pytest

lint: .venv/ready-dev
	ruff check --no-cache .
	ruff format --no-cache --check .
	snakefmt --check Snakefile rules
	snakemake --lint

# The JSON schema for editors and the reference in the docs, from the configuration's classes.
schema: .venv/ready-dev
	python scripts/describe_config.py
	ruff format --quiet .

.venv/ready: envs/requirements.txt envs/lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=...")'
	@echo "Setting up .venv; this takes a few minutes the first time."
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url "$(TORCH_INDEX)" "$(TORCH)")
	$(PIP) --requirement envs/requirements.txt
	@touch $@

.venv/ready-dev: .venv/ready envs/requirements-dev.txt
	$(PIP) --requirement envs/requirements-dev.txt
	@touch $@
