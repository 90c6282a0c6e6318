# Two commands for a fresh machine with Python 3.11, make and a network:
#   make demo    align a model with DDE, sample it, score it against its base (about ten minutes on two cores)
#   make test    style checks and all tests (make test-rounding: the tests where numbers are rounded otherwise)
# Both make their own virtual environment in .venv first.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO ?= demo
export HF_HUB_OFFLINE ?= 1

.PHONY: demo test test-rounding clean

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

# The tests again where kernels round otherwise: on two threads, with the instructions of an older processor. Left out is
# what asks for no number: files, names, pages, signals, and the workflow.
NO_NUMBERS = workflow core collect cli/test_what_is_imported.py cli/test_stopping.py cli/test_links.py \
	cli/test_damaged_files.py cli/test_collect.py cli/test_collect_in_browser.py cli/test_micro_batch_auto.py
test-rounding: $(VENV)/installed
	OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 \
		$(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(NO_NUMBERS:%=--ignore=tests/%)

clean:
	rm -rf $(VENV) $(DEMO)
