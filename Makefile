# One-liners around python -m commands; README.md names the equivalents for Windows.
PYTHON ?= python3
PIP = python -m pip install --quiet --disable-pip-version-check
# CI sets CONSTRAINTS to pinned, tested versions; users get the ranges of pyproject.toml.
CONSTRAINTS ?=
PIN = $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
ifdef CI
CONSTRAINTS = constraints.txt
endif
VENV = .venv
BIN = $(VENV)/bin

.PHONY: system demo test test-fast test-runtime check format bench golden clean

system:  ## What tests need beside Python packages: a browser and ImageJ, from Debian, where they are missing and can be installed
	command -v chromium && command -v chromedriver || (apt-get update -qq && apt-get install -y -qq chromium chromium-driver) \
		|| echo "no browser: the tests of the gallery are skipped"
	command -v imagej && command -v Xvfb && command -v fluxbox && command -v xdotool && command -v import \
		|| (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq imagej xvfb xauth fluxbox xdotool imagemagick) \
		|| echo "no ImageJ or no screen: the tests of the bridge to ImageJ are skipped"

demo: $(VENV)/installed-demo  ## Install, restore a real image, score it, draw it: see demo/
	$(BIN)/carezoo demo -o demo

test: $(VENV)/installed-dev test-runtime  ## All tests, slow ones too
	$(BIN)/python -m pytest

test-fast: $(VENV)/installed-dev  ## All tests but the slow ones
	$(BIN)/python -m pytest -m "not slow"

test-runtime: $(VENV)-runtime/installed  ## What runs without torch, in an environment that has none
	$(VENV)-runtime/bin/python -m pytest -q -m "not slow" tests --ignore=tests/train --ignore=tests/stories --ignore=tests/contracts

check: $(VENV)/installed-dev  ## Lint, types, layers
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	PYTHONPATH=bridges/knime/src $(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/python -m ruff check --fix . ; $(BIN)/python -m ruff format .

bench: $(VENV)/installed-dev  ## Measure every figure; see docs/benchmarks.md
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(VENV)-runtime demo build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) --upgrade pip

$(VENV)/installed-demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/$(PIP) $(PIN) -e ".[cpu,evaluate]"
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(if $(CONSTRAINTS),$(BIN)/$(PIP) $(PIN) torch)
	$(BIN)/$(PIP) $(PIN) -e ".[cpu,dev]"
	touch $@

$(VENV)-runtime/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-runtime
	$(VENV)-runtime/bin/$(PIP) --upgrade pip
	$(VENV)-runtime/bin/$(PIP) $(PIN) -e ".[cpu,evaluate,site]" hypothesis onnx pytest pytest-timeout
	touch $@
