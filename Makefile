# Two commands: `make train` runs the main job on the embedded crystals, `make test` the tests.
# Both make the environment they need in $(VENV); `make train EXTRAS=cuda` adds an accelerator.

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?=
DATA ?= data
RUN ?= runs/demo

# pip installs into the environment from outside: Debian's Python cannot put a pip into one
# without a further package.
PIP = $(PYTHON) -m pip --disable-pip-version-check --python $(VENV)/bin/python install --quiet
BIN = $(VENV)/bin

.PHONY: train test lint clean

train: $(VENV)/installed
	$(BIN)/python -m tfds_builders.cmed --config cubic --data_dir $(DATA)
	$(BIN)/python -m cmed_jax.train demo --data $(DATA)/cmed/cubic/2.0.0 --run $(RUN)
	$(BIN)/python -m cmed_jax.evaluate $(RUN)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(DATA) $(RUN)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed")'
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(PIP) --editable '.$(if $(EXTRAS),[$(EXTRAS)])'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	touch $@
