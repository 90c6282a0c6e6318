# Two commands for a fresh machine with Python 3.11, make and a network:
#   make demo    align a model with DDE, sample it, score it against its base (about ten minutes on two cores)
#   make test    style checks and all tests
# Both make their own virtual environment in .venv first.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO ?= demo
export HF_HUB_OFFLINE ?= 1

.PHONY: demo test clean

# The marker is older than pyproject.toml whenever the dependencies may have changed.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

demo: $(VENV)/installed
	mkdir -p $(DEMO)
	cd $(DEMO) && PATH="$(abspath $(BIN)):$$PATH" bash ../workflow/demo.sh

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint
	$(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf $(VENV) $(DEMO)
