# melmill's front door: one short line per target. `make help` lists them; every stage is a command
# of its own (`python -m pipeline STAGE --help`). Parallelism lies inside the stages (JOBS=), so
# that `make -j -k` is safe: two stages never write at once.

MAKEFLAGS += -r
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: torch help features scan decode shards verify resume bench test test-all lint format clean distclean

VENV ?= .venv
PYTHON ?= python3
RUN = $(VENV)/bin/python -m pipeline

# Values reach the commands through the environment, as they were typed: neither make nor the shell
# looks inside them.
ASKED := DATA RECIPE LAYOUT ROLE SPLITS JOBS MAX_RAM MAX_REJECTED ARTIFACTS
$(foreach v,$(ASKED),$(if $(filter undefined,$(origin $(v))),,$(eval override $(v) := $$(value $(v)))))
export $(ASKED)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo "  variables: DATA=folder RECIPE=name|file.toml LAYOUT= ROLE= SPLITS= JOBS= MAX_RAM= MAX_REJECTED= ARTIFACTS="

features: shards ## everything: from a folder of audio (or the demo corpus) to sealed shards

scan: $(VENV)/core.stamp ## look at every file: id, header, label, group
	@$(RUN) scan

decode: scan ## decode every file once
	@$(RUN) decode

shards: decode ## make the recipes' shards and indexes
	@$(RUN) shards

verify: $(VENV)/core.stamp ## check every shard, label and split
	@$(RUN) verify

resume: $(VENV)/core.stamp ## go on with what was interrupted
	@$(RUN) resume

bench: $(VENV)/dev.stamp ## print the speed and memory figures, as ratios in one run
	@$(VENV)/bin/python -m tests.bench

test: $(VENV)/dev.stamp ## the tests, with a sample of every sweep
	@$(VENV)/bin/python -m pytest -m "not slow"

test-all: $(VENV)/dev.stamp ## the tests with the full sweeps
	@$(VENV)/bin/python -m pytest

lint: $(VENV)/dev.stamp ## ruff and mypy
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

torch: $(VENV)/torch.stamp ## add torch to the environment

clean: $(VENV)/core.stamp ## remove everything made (artifacts); costs time only
	@$(RUN) clean

distclean: ## remove the environment
	@rm -rf $(VENV)

# The environment: versions locked in .ci/, installed once.
$(VENV)/core.stamp: .ci/core.lock
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/core.lock
	@touch $@

$(VENV)/torch.stamp: $(VENV)/core.stamp .ci/torch.lock
	@echo "adding torch to $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/core.lock -r .ci/torch.lock
	@touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp .ci/dev.lock
	@echo "adding the test tools to $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/core.lock -r .ci/dev.lock
	@touch $@
