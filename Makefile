# One-liners around python -m commands; README.md names the equivalents for Windows.
PYTHON ?= python3
PIP = python -m pip install --quiet --disable-pip-version-check
# Versions that are tested together, for Python 3.11 to 3.13 (for 3.14 some are source code only); CONSTRAINTS= takes
# the newest releases.
CONSTRAINTS = constraints.txt
PIN = $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
PYTEST = python -m pytest $(if $(and $(CI),$(CONSTRAINTS)),-W error)
# Test processes at once; each takes a core and 1 GB of memory, and keeps the tests of one file together.
WORKERS = 2
SPREAD = -n $(WORKERS) --dist loadscope --no-loadscope-reorder
WITHOUT_TORCH = $(SPREAD) -m "not slow" tests --ignore=tests/train --ignore=tests/stories --ignore=tests/contracts
VENV = .venv
BIN = $(VENV)/bin
TIME = about 10 minutes on two cores
# The newest Python beside the default one, on the path or from pyenv.
SECOND = $(firstword $(foreach minor,14 13 12,$(foreach python,python3.$(minor) $(wildcard $(HOME)/.pyenv/versions/3.$(minor).*/bin/python),\
	$(shell $(python) -c "import sys; print(sys.executable)" 2>/dev/null))))

.PHONY: system demo announce test test-fast test-runtime test-newest test-lowest test-wheel test-second check format bench lock clean

system:  ## What tests need beside Python packages: a browser and ImageJ, from Debian, where they are missing and can be installed
	@$(call install,the gallery,chromium chromedriver,chromium chromium-driver)
	@$(call install,the bridge to ImageJ,imagej Xvfb fluxbox xdotool import,imagej xvfb xauth fluxbox xdotool imagemagick)

# For the tests of $(1): the Debian packages $(3), if one of the programs $(2) is missing.
install = for program in $(2); do command -v $$program || missing=yes; done >/dev/null; \
	test -z "$$missing" || { echo "Installing $(3) for the tests of $(1)"; \
	(apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y $(3)) >/dev/null 2>&1; } \
	|| echo "apt-get cannot install them here: the tests of $(1) are skipped"

demo: $(VENV)/installed-demo  ## Install, restore a real image, score it, draw it: see demo/
	$(BIN)/carezoo demo -o demo

announce:
	@echo "All tests, slow ones too, take $(TIME); make test-fast leaves the slow ones out: at most 8 minutes."
	@echo "The name of a test appears when it begins. Those with a real ImageJ and those that train come first: a minute each."
	@echo "Before, pip fetches the packages; on Linux 3 GB of them are PyTorch with CUDA (README.md: how to do without)."

test: announce $(VENV)/installed-dev  ## All tests, slow ones too
	$(BIN)/$(PYTEST) $(SPREAD) -v

test-fast: $(VENV)/installed-dev  ## All tests but the slow ones
	$(BIN)/$(PYTEST) $(SPREAD) -m "not slow"

test-runtime: $(VENV)-runtime/installed  ## What runs without torch, in an environment that has none
	$(VENV)-runtime/bin/$(PYTEST) -q $(WITHOUT_TORCH)

test-newest:  ## All tests with the newest releases, before every release: docs/benchmarks.md has the last result
	$(MAKE) test CONSTRAINTS= VENV=$(VENV)-newest

test-lowest: $(VENV)-lowest/installed  ## What runs without torch, with the lowest versions that pyproject.toml allows (Python 3.11)
	$(VENV)-lowest/bin/pytest -q $(WITHOUT_TORCH)

test-wheel:  ## The wheel as users install it, with the newest releases: the demo, and what runs without torch
	$(PYTHON) -m venv --clear $(VENV)-wheel
	$(VENV)-wheel/bin/$(PIP) --upgrade pip
	rm -rf dist && $(VENV)-wheel/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(VENV)-wheel/bin/$(PIP) "$$(echo dist/*.whl)[cpu,evaluate,site,test]"
	cd $(VENV)-wheel && bin/carezoo demo -o demo
	$(VENV)-wheel/bin/pytest -q $(WITHOUT_TORCH)

test-second:  ## What runs without torch: from the wheel, in the newest Python beside the default one; without one, from here
	$(if $(SECOND),$(MAKE) test-wheel PYTHON=$(SECOND),$(MAKE) test-runtime)

check: $(VENV)/installed-dev  ## Lint, types, layers
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	PYTHONPATH=bridges/knime/src $(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/python -m ruff check --fix . ; $(BIN)/python -m ruff format .

lock:  ## Choose the newest releases for constraints.txt; then make test
	uv pip compile --quiet --universal --upgrade --no-annotate --custom-compile-command "make lock" \
		--extra cpu --extra dev --output-file constraints.txt pyproject.toml

bench: $(VENV)/installed-dev  ## Measure every figure; see docs/benchmarks.md
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(VENV)-runtime $(VENV)-newest* $(VENV)-lowest $(VENV)-wheel demo build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) --upgrade pip

$(VENV)/installed-demo: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(BIN)/$(PIP) $(PIN) -e ".[cpu,evaluate]"
	touch $@

$(VENV)/installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(BIN)/$(PIP) $(PIN) -e ".[cpu,dev]"
	touch $@

$(VENV)-runtime/installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)-runtime
	$(VENV)-runtime/bin/$(PIP) --upgrade pip
	$(VENV)-runtime/bin/$(PIP) $(PIN) -e ".[cpu,evaluate,site,test]"
	touch $@

$(VENV)-lowest/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/$(PIP) --upgrade pip
	$(VENV)-lowest/bin/$(PIP) uv
	$(VENV)-lowest/bin/uv pip install --quiet --resolution lowest-direct --python $(VENV)-lowest -e ".[cpu,evaluate,site,test]"
	touch $@
