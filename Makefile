# Every target works from a fresh clone: the environment is made on first use and
# again only when the lock or the project's metadata changes.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
KERAS := .bench/keras
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile
# DVC starts each stage as `python -m …`: it must find this environment's Python.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help repro photos test lint format verify tensorboard tensorboard-techniques bench lock clean

help:
	@echo "make repro        rebuild everything: data, model, report"
	@echo "make photos       the same on the article's 2,352 photos, or on SOURCE=photos.zip"
	@echo "make test         run the test suite"
	@echo "make lint         formatting, lint and type checks"
	@echo "make format       format the code and fix what the linter can"
	@echo "make verify       rebuild the last commit from scratch, and compare it with dvc.lock"
	@echo "make tensorboard  open TensorBoard on the training run"
	@echo "make tensorboard-techniques  open it on the techniques, one mean run for each"
	@echo "make bench        time a training epoch against a floor, Keras and ImageFolder"
	@echo "make lock         resolve pyproject.toml into requirements.lock again"
	@echo "make clean        remove the environment and everything the pipeline made"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"bluelight: Python 3.11 or newer is needed, $(PYTHON) is {sys.version.split()[0]}; name another with: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv --clear $(VENV)
# One dependency exists only as source; it is built with the locked setuptools, so that goes first.
	@sed -n '/^setuptools==/,/# via/p' requirements.lock > $(VENV)/build.lock
	$(PIP) --require-hashes --requirement $(VENV)/build.lock
	$(PIP) --require-hashes --no-build-isolation --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
# On every core, as pip does not; some files are templates, or for other versions of Python.
	@$(VENV)/bin/python -m compileall -q -q -j 0 $(VENV)/lib || true
	@touch $@

repro: $(READY)
	@dvc repro

# The article's photos, in a public repository at a fixed commit. An experiment: git keeps params.yaml
# as it was, and `dvc exp show` lists it. FEATURES is what the MLP sees: backbone, hog or pixels.
FEATURES ?= backbone
ARTICLE := git+https://github.com/paramanandnarsinhabhat/Improving-Deep-Learning-Model@8df99e2dc549ae79af133edc6fd7d026fd2f5fbf\#data/Dataset
photos: $(READY)
ifdef SOURCE
	@dvc exp run -S features.kind=$(FEATURES) -S 'fetch.source="$(if $(wildcard $(SOURCE)),$(abspath $(SOURCE)),$(SOURCE))"'
else
	@dvc exp run -S features.kind=$(FEATURES) -S 'fetch.source="$(ARTICLE)"' -S fetch.table=emergency_classification.csv
endif
	@echo "Back to the embedded dataset: git checkout . && dvc repro"

# A file's tests share what they have set up, so a file stays on one process; the longest start first.
test: $(READY)
	@python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	@ruff format --check .
	@ruff check .
	@mypy

format: $(READY)
	@ruff format .
	@ruff check --fix .

verify: $(READY)
	@bluelight verify

tensorboard: $(READY)
	@bluelight tensorboard

tensorboard-techniques: $(READY)
	@bluelight tensorboard --logs techniques

# TensorFlow has an environment of its own, which nothing else needs.
$(KERAS)/.ready: benchmarks/speed/keras.txt
	$(PYTHON) -m venv --clear $(KERAS)
	$(KERAS)/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

bench: $(READY) $(KERAS)/.ready
	@python -m benchmarks.speed --keras $(KERAS)/bin/python

# `uv` resolves for every platform at once; it is needed only here, never to install.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --fork-strategy fewest --extra train --group dev pyproject.toml --output-file requirements.lock

# Only what git ignores: metrics and the lock are tracked, and stay.
clean:
	git clean -fdXq -- .venv .bench .cache .resume .dvc/cache .dvc/tmp data models reports logs build dvc_plots \
		'*.egg-info' '*__pycache__' .pytest_cache .mypy_cache .ruff_cache .hypothesis
