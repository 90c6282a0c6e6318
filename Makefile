# Two commands for a fresh machine with Python 3.11, make and a network:
#   make demo    align a model with DDE, sample it, score it against its base (about ten minutes on two cores)
#   make test    style checks and all tests (make test-rounding: the tests where numbers are rounded otherwise)
# Both make their own virtual environment in .venv first.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = $(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
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
	$(PYTEST)

# The tests again where torch's kernels round otherwise: with the instructions of an older processor, and what is marked
# `two_threads` (equal to the last bit, or to rounding) on two threads. All of them there would take twice as long: the
# kernels of small models wait for their threads more than they calculate. Left out is what gives no number of torch's:
# files, names, pages, signals and the workflow; tables of data; statistics, which are numpy's; and of the recipe of the
# tiny world what was recorded on another machine already.
NO_NUMBERS = workflow core collect stats tables figures reproduction tuning benchmarks \
	data/test_captioned.py data/test_data_sets.py data/test_hub_source.py data/test_labels.py data/test_memory.py \
	data/test_pair_sources.py data/test_tars.py data/test_votes_source.py models/test_downloads.py models/test_quiet.py \
	$(addprefix cli/test_,$(addsuffix .py,app bad_disk bad_models changed_base choose_command collect \
	collect_in_browser damaged_files defaults export export_votes figure large_numbers leftovers links list \
	micro_batch_auto odd_paths odd_texts options options_of_fields picture_names prepare prepare_labels price \
	report_command stopping summaries table text_files what_is_imported))
test-rounding: $(VENV)/installed
	TEST_THREADS=2 OMP_WAIT_POLICY=passive ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=COMPATIBLE \
		$(PYTEST) $(NO_NUMBERS:%=--ignore=tests/%) \
		--deselect tests/tinyworld/test_world.py::test_the_recipe_builds_a_world_in_a_few_steps \
		--deselect tests/tinyworld/test_recipe.py::test_the_shipped_judge_and_scorers_are_as_was_measured_when_they_were_built

clean:
	rm -rf $(VENV) $(DEMO)
