# Every target sets up what it needs by itself; `make demo` and `make test` are all a newcomer has to know.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^\(torch==[0-9.]*\)$$/\1/p' constraints.txt)
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
WORKERS ?= 2
BENCH_OUT ?= benchmark-runs

.PHONY: demo test test-all lint docs bench-smoke bench-publish dist release-check clean

demo: $(VENV)/.demo
	$(BIN)/paretomerge demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -q

test-all: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -q -m "slow or not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff format --check src tests examples benchmarks
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# One setting of the benchmark suite, `make bench-digits-conflict`: hours for some; the same command continues.
bench-%: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.suite $* --out $(BENCH_OUT)

bench-smoke: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.suite all --out $(BENCH_OUT) --smoke

bench-publish: $(VENV)/.dev
	$(BIN)/python -m benchmarks.suite.publish --out $(BENCH_OUT)

dist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist

# Both distributions in an environment of their own, with all that they depend on, and no sources in sight.
release-check: dist
	rm -rf build/release
	$(PYTHON) -m venv build/release
	build/release/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	build/release/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl -c constraints.txt
	cd build && release/bin/python -I ../tests/release/use_installed.py $(VERSION)
	build/release/bin/python -m pip uninstall --quiet --yes paretomerge
	build/release/bin/python -m pip install --quiet --disable-pip-version-check --no-deps dist/*.tar.gz
	cd build && release/bin/python -I ../tests/release/use_installed.py $(VERSION)
	rm -rf build

clean:
	rm -rf $(VENV) site dist build

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "paretomerge needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@touch $@

$(VENV)/.torch: $(VENV)/.python
	$(BIN)/python -m pip install --quiet $(TORCH)
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -e ".[demo]" -c constraints.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml constraints.txt oracles.txt
	$(BIN)/python -m pip install --quiet -e ".[dev,hf]" -c constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps -r oracles.txt
	@touch $@
