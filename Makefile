# melmill's front door: one short line per target. `make help` lists them; every stage is a command
# of its own (`python -m pipeline STAGE --help`). Parallelism lies inside the stages (JOBS=), so
# that `make -j -k` is safe: two stages never write at once.

MAKEFLAGS += -r
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help features scan decode shards verify report resume train-denoiser train-classifier teacher
.PHONY: train-hybrid train-tagger train-diarizer import-musicnn analyze evaluate export denoise
.PHONY: classify tag diarize real-audio doctor
.PHONY: torch tensorflow peers bench test test-all lint clean distclean

VENV ?= .venv
PYTHON ?= python3
STAGE = $(VENV)/bin/python -m pipeline
DENOISER = -m training.denoiser
CLASSIFIER = -m training.classifier
HYBRID = -m training.hybrid
TAGGER = -m training.tagger
DIARIZER = -m training.diarizer

# Values reach the commands through the environment, as they were typed: neither make nor the shell
# looks inside them.
ASKED := DATA RECIPE LAYOUT ROLE SPLITS JOBS MAX_RAM MAX_REJECTED ARTIFACTS
ASKED += PROFILE ARCH EPOCHS BUDGET SEED RUN INIT CHECKPOINT ON LIMIT DNSMOS IN OUT PROCESSES
ASKED += BACKBONE WEIGHTS TEACHER FOLDS AUGMENT TOP JSON NET ABLATION HEAD SPEAKERS
$(foreach v,$(ASKED),$(if $(filter undefined,$(origin $(v))),,$(eval override $(v) := $$(value $(v)))))
export $(ASKED)
# A misspelt one would be ignored. What goes to other programs (GPU numbers, threads) may be named.
UNKNOWN = $(foreach v,$(.VARIABLES),$(if $(findstring command,$(origin $v)),$(filter-out $(KNOWN),$v)))
KNOWN := $(ASKED) VENV PYTHON GPU SHELL MAKE% .% CUDA% TF_% PIP_% OMP_% LD_% %_THREADS MELMILL_FAULT
$(if $(strip $(UNKNOWN)),$(error no such variable: $(strip $(UNKNOWN)). Known are: \
$(sort $(ASKED) VENV PYTHON GPU); set others before make))

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' Makefile
	@echo "  of data:     DATA=folder RECIPE=name|file.toml LAYOUT= ROLE= SPLITS= JOBS= MAX_RAM= MAX_REJECTED= ARTIFACTS="
	@echo "  of training: RECIPE= PROFILE=demo|best|classic EPOCHS= BUDGET=8h SEED= RUN=name (diarizers: see below)"
	@echo "  of denoisers: PROFILE=small ARCH= INIT=run PROCESSES="
	@echo "  of classifiers: BACKBONE= WEIGHTS=file TEACHER=run FOLDS=5 AUGMENT=no"
	@echo "  of hybrids: NET= FOLDS=5 AUGMENT=no ABLATION=no MAX_RAM=15GB   of taggers: NET= INIT=run AUGMENT=no"
	@echo "  of diarizers: PROFILE=original|optimized|ultra-fast HEAD= INIT=run TEACHER=run AUGMENT=no PROCESSES= SPEAKERS="
	@echo "  of a run:    RUN=name CHECKPOINT=step ON=recipe LIMIT= DNSMOS=no IN=recording OUT=cleaned TOP=3 JSON=yes"
	@echo "  of the environment: GPU=1 PYTHON=python3.11 VENV=.venv"

features: $(VENV)/core.stamp ## everything: from a folder of audio (or the demo corpus) to sealed shards
	@$(STAGE) features

doctor: $(VENV)/core.stamp ## check machine, environment and folders, and say what to do
	@$(STAGE) doctor

scan: $(VENV)/core.stamp ## look at every file: id, header, label, group
	@$(STAGE) scan

decode: scan ## decode every file once
	@$(STAGE) decode

shards: decode ## make the recipes' shards and indexes
	@$(STAGE) shards

verify: $(VENV)/core.stamp ## check every shard, label and split
	@$(STAGE) verify

report: $(VENV)/core.stamp ## a page about each recipe: sound, spectra, balance, rejected files, speed
	@$(STAGE) report

resume: $(VENV)/core.stamp ## go on with what was interrupted: shards, then training
	@if [ -z "$$RUN" ]; then $(STAGE) resume; fi
	@$(VENV)/bin/python -m training.resume

train-denoiser: $(VENV)/torch.stamp ## train a denoiser and measure it, making its shards first
	@RECIPE="$${RECIPE:-denoise-speech-snr}" $(STAGE) features --as-before
	@case "$${PROCESSES:-1}" in 1) $(VENV)/bin/python $(DENOISER) train ;; \
	*[!0-9]*|0*) echo "error: PROCESSES=$$PROCESSES is no number of processes" >&2; exit 2 ;; \
	*) $(VENV)/bin/torchrun --standalone --nproc-per-node "$$PROCESSES" $(DENOISER) train ;; esac

train-classifier: $(VENV)/tensorflow.stamp ## train a classifier and measure it, making its shards first
	@RECIPE="$${RECIPE:-noise-classifier}" $(STAGE) features --as-before
	@$(VENV)/bin/python $(CLASSIFIER) train

train-hybrid: $(VENV)/tensorflow.stamp ## train a hybrid classifier and measure it, making its shards first
	@RECIPE="$${RECIPE:-hybrid}" $(STAGE) features --as-before
	@$(VENV)/bin/python $(HYBRID) train

train-tagger: $(VENV)/tensorflow.stamp ## train a music tagger and measure it, making its shards first
	@RECIPE="$${RECIPE:-musicnn}" $(STAGE) features --as-before
	@$(VENV)/bin/python $(TAGGER) train

train-diarizer: $(VENV)/torch.stamp ## train a diarizer and measure it, making its shards first
	@RECIPE="$${RECIPE:-conversations conversations-heard}" $(STAGE) features --as-before
	@case "$${PROCESSES:-1}" in 1) $(VENV)/bin/python $(DIARIZER) train ;; \
	*[!0-9]*|0*) echo "error: PROCESSES=$$PROCESSES is no number of processes" >&2; exit 2 ;; \
	*) $(VENV)/bin/torchrun --standalone --nproc-per-node "$$PROCESSES" $(DIARIZER) train ;; esac

import-musicnn: $(VENV)/musicnn.stamp ## make runs of MusicNN's published weights
	@$(VENV)/bin/python $(TAGGER) import

teacher: $(VENV)/tensorflow.stamp ## write what a classifier answers, for TEACHER= of another
	@$(VENV)/bin/python $(CLASSIFIER) teacher

analyze: $(VENV)/core.stamp ## draw a run's curves and tables again
	@$(VENV)/bin/python -m training analyze

evaluate: $(VENV)/core.stamp ## measure runs on test splits, beside each other and others (make peers)
	@$(VENV)/bin/python -m training evaluate

export: $(VENV)/core.stamp ## write a run's model as files that run without this project
	@$(VENV)/bin/python -m training export

denoise: $(VENV)/torch.stamp ## clean recordings: IN=file or folder, OUT=
	@$(VENV)/bin/python $(DENOISER) denoise

classify: $(VENV)/tensorflow.stamp ## say what recordings hold: IN=file or folder
	@$(VENV)/bin/python -m training classify

tag: $(VENV)/tensorflow.stamp ## say which tags tracks have, and when: IN=file or folder
	@$(VENV)/bin/python $(TAGGER) tag

diarize: $(VENV)/torch.stamp ## say who spoke when: IN=file or folder, OUT=file.rttm or folder
	@$(VENV)/bin/python $(DIARIZER) diarize

real-audio: $(VENV)/av.stamp ## fetch real recordings to try, out of Debian's packages: OUT=folder
	@$(STAGE) real-audio

bench: $(VENV)/bench.stamp ## print the speed and memory figures, as ratios in one run
	@$(VENV)/bin/python -m tests.bench

# A process a core; a file's tests stay together, as they share what they make first.
SHARED = -n logical --maxprocesses 4 --dist loadfile

test: $(VENV)/dev.stamp ## the tests, with a sample of every sweep
	@$(VENV)/bin/python -m pytest $(SHARED) -m "not slow"

test-all: $(VENV)/dev.stamp ## the tests with the full sweeps
	@$(VENV)/bin/python -m pytest $(SHARED)

lint: $(VENV)/dev.stamp ## ruff and mypy
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

torch: $(VENV)/torch.stamp ## add torch to the environment (GPU=1: the newest build for a GPU)

tensorflow: $(VENV)/tensorflow.stamp ## add tensorflow to the environment (GPU=1 likewise)

peers: $(VENV)/torch.stamp ## add other denoisers and diarizers, for evaluate to compare with
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r .ci/peers.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r .ci/pesq.lock \
	|| echo "PESQ was not installed (it needs a C compiler): its column stays empty"

clean: $(VENV)/core.stamp ## remove all that make features made; trained models stay
	@$(STAGE) clean

distclean: ## remove the environment
	@rm -rf $(VENV)

# The environment: versions locked in .ci/, installed once; with GPU=1 again, where a stamp does not
# say that it was that build. What is there of a framework goes first, and its stamp with it: pip
# would find nothing to do, and two builds own the same files.
FORCE:
BUILD = $(if $(GPU),gpu,locked)
AGAIN = $(if $(GPU),$(if $(filter gpu,$(shell cat $(VENV)/$(1).stamp 2>/dev/null)),,FORCE))
$(VENV)/core.stamp: .ci/core.lock
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/core.lock
	@touch $@

$(VENV)/torch.stamp: $(VENV)/core.stamp .ci/torch.lock $(call AGAIN,torch)
	@echo "adding torch to $(VENV)"
	@rm -f $@; $(VENV)/bin/python -m pip uninstall --quiet --yes torch 2>/dev/null
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/core.lock \
	$(if $(GPU),".[torch]",-r .ci/torch.lock)
	@echo $(BUILD) > $@

$(VENV)/tensorflow.stamp: $(VENV)/core.stamp .ci/tensorflow.lock $(call AGAIN,tensorflow)
	@echo "adding tensorflow to $(VENV)"
	@rm -f $@; $(VENV)/bin/python -m pip uninstall --quiet --yes tensorflow tensorflow-cpu 2>/dev/null
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/core.lock \
	$(if $(GPU),".[tensorflow-gpu]",-r .ci/tensorflow.lock)
	@echo $(BUILD) > $@

# Without it all but G.722 is there, so that where it cannot be had the rest goes on.
$(VENV)/av.stamp: $(VENV)/core.stamp .ci/dev.lock
	@echo "adding PyAV to $(VENV)"
	@if $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/core.lock \
	"$$(grep '^av==' .ci/dev.lock)"; then touch $@; else echo "PyAV was not installed"; fi

# The package's weights alone are read: what it would bring with it is not needed.
$(VENV)/musicnn.stamp: $(VENV)/tensorflow.stamp .ci/musicnn.lock
	@echo "adding the published weights to $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r .ci/musicnn.lock
	@touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp .ci/dev.lock
	@echo "adding the test tools to $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/core.lock -r .ci/dev.lock
	@touch $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp $(VENV)/torch.stamp $(VENV)/musicnn.stamp .ci/bench.lock
	@echo "adding what the figures are compared with to $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r .ci/bench.lock
	@touch $@
