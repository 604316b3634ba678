# Two commands for a newcomer: `make demo` and `make test`. Everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The CPU build of torch. Where its index cannot be reached, whatever build of this version pip finds is taken.
TORCH := torch==2.13.0
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo nano test test-slow mutants lint clean

demo: $(VENV)/.installed
	@mkdir -p out
	$(BIN)/dragonfly ask examples/images/receipt.png "Give the qty." --zoom out/receipt.png
	$(BIN)/dragonfly ask examples/images/chart.png "Is it true that salt is 206?" --zoom out/chart.png
	$(BIN)/dragonfly ask examples/images/shapes.png "Read the value beside the blue diamond." --zoom out/shapes.png

# The bundled model from scratch: hours on two cores. SHARE=0.01 rehearses it in minutes.
nano: $(VENV)/.dev
	DRAGONFLY=$(BIN)/dragonfly PYTHON=$(BIN)/python scripts/nano.sh

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow
	scripts/test_floor.sh build/floor -q -m "not slow"

# How many of 300 small faults the tests notice. Reported, never a gate.
mutants: $(VENV)/.dev
	$(BIN)/python benchmarks/mutants.py

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Dragonfly needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-deps --retries 0 --timeout 20 --index-url $(TORCH_INDEX) $(TORCH) || $(PIP) --no-deps $(TORCH)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(PIP) --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) out
