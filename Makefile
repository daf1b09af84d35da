# make demo   a fresh clone to a verdict: installs, runs suites/micro.yaml, says where to look
# make test   the whole test suite, as .ci/run calls it
# make fast   the tests that take little, to run while you work; shows those that take most of its time
# make check  format, lint, types, who imports whom, declared dependencies
# make docs   pages, and parts of pages, that follow from the program
# make toolchains  what is missing of the languages that code benchmarks run (Debian, Ubuntu; as root)
# make regression  the micro suite against results/baselines/micro.json; make baseline makes that file anew

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

MICRO := build/micro

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: demo test fast check docs regression baseline install toolchains clean $(MICRO)

demo: $(STAMP)
	$(BIN)/python cli.py run-suite suites/micro.yaml

test: $(STAMP) check
	$(PYTEST)

fast: $(STAMP)
	$(PYTEST) -m "not slow" --durations=5

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry fusion harness suites

docs: $(STAMP)
	$(BIN)/python -m docs

$(MICRO): $(STAMP)
	rm -rf $(MICRO)/runs
	$(BIN)/python cli.py run-suite micro --offline --set tracking.enabled=false --results $(MICRO)

regression: $(MICRO)
	$(BIN)/python cli.py check $(MICRO)/runs/micro-* --baseline results/baselines/micro.json

baseline: $(MICRO)
	$(BIN)/python cli.py baseline save $(MICRO)/runs/micro-* --to results/baselines/micro.json

install: $(STAMP)

toolchains: $(STAMP)
	PYTHON=$(BIN)/python .ci/toolchains

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed (PYTHON=python3.x make ...)' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info
