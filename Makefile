# Two commands: `make train` runs the main job on the embedded crystals, `make test` the tests.
# Both make the environment they need in $(VENV); `make train EXTRAS=cuda` adds an accelerator.
# `make coverage` runs the tests again, with programs as well optimised as users have them, and
# fails where too few lines are tested; it takes several times as long. `make docs` writes the pages
# of docs/ into build/site; `make wheel` builds dist/, and `make test-wheel` tries it offline.
# `make accelerators` compiles for TPUs and GPUs that are not there, in an environment of its own
# that takes 3 GB, and prints what their programs need.

PYTHON ?= python3
VENV ?= .venv
COMPILERS ?= .venv-accelerators
EXTRAS ?=
DATA ?= data
RUN ?= runs/demo

# pip installs into the environment from outside: Debian's Python cannot put a pip into one
# without a further package.
PIP = $(PYTHON) -m pip --disable-pip-version-check --python $(VENV)/bin/python install --quiet
BIN = $(VENV)/bin
# Each of two processes keeps to its half of the files until it helps the other.
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal
# Warnings are errors; the variable silences the theme's note about MkDocs 2.
MKDOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: train test coverage lint docs wheel test-wheel accelerators clean

train: $(VENV)/installed
	$(BIN)/python -m tfds_builders.cmed --config cubic --data_dir $(DATA)
	$(BIN)/python -m cmed_jax.train demo --data $(DATA)/cmed/cubic/3.1.0 --run $(RUN)
	$(BIN)/python -m cmed_jax.evaluate $(RUN)

test: $(VENV)/installed-dev
	$(PYTEST) --durations=25

coverage: $(VENV)/installed-dev
	XLA_FLAGS= $(PYTEST) --cov --cov-report=term

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MKDOCS)

docs: $(VENV)/installed-dev
	$(MKDOCS)

wheel:
	rm -rf build/lib dist
	$(PYTHON) -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .

test-wheel: wheel
	$(PYTHON) tests/wheel/check_wheel.py dist/cmed_jax-*.whl

# The plug-in of CUDA compiles without CUDA's libraries, which take several GB more.
accelerators:
	$(MAKE) $(COMPILERS)/installed VENV=$(COMPILERS) EXTRAS=tpu,dev
	version=$$($(COMPILERS)/bin/python -c 'import jax; print(jax.__version__)') && \
	$(PYTHON) -m pip --disable-pip-version-check --python $(COMPILERS)/bin/python install --quiet \
	  --no-deps jax-cuda13-plugin==$$version jax-cuda13-pjrt==$$version
	JAX_PLATFORMS=cpu $(COMPILERS)/bin/python -m benchmarks.accelerators

clean:
	rm -rf $(VENV) $(COMPILERS) $(DATA) $(RUN) build dist

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed")'
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(PIP) --editable '.$(if $(EXTRAS),[$(EXTRAS)])'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	touch $@
