# On a fresh machine with Python and make, `make demo` and `make test` do everything.
#
#   PYTHON=python3.12            the interpreter that .venv is made from
#   TORCH='torch==2.11.0'        another torch than the one in constraints.txt, as pip writes it
#   TORCH=installed              the torch that PYTHON already has (a GPU machine's own build): nothing is pinned
#
# Both are read when .venv is made; `make clean` first to change them later.

PYTHON ?= python3
TORCH ?= pinned
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := .gradiometer/demo

# One thread for each of the two test processes: more would fight over the cores.
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format-check lint types imports unit slow bench bench-cures fuzz audit docs new-condition new-cure clean

help:
	@echo "make demo                    set up, then find and prove a cure for a network that does not learn"
	@echo "make test                    set up, then make check"
	@echo "make check                   format, lint, types, import contracts, tests with doctests"
	@echo "make slow                    the tests that take more than a few seconds"
	@echo "make bench                   what watching costs"
	@echo "make fuzz                    100 000 hostile inputs: half an hour"
	@echo "make audit                   known vulnerabilities of all packages in .venv; fails where it can't look them up"
	@echo "make bench-cures             how many faulty trainings are cured: hours, goes on where it was stopped"
	@echo "make docs                    the documentation as a site, in site/; fails where a link is broken"
	@echo "make new-condition NAME=...  stub a condition: source, test, table line"
	@echo "make new-cure NAME=...       stub a cure: source, test, table line"
	@echo "make clean                   remove .venv and all caches"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "gradiometer needs Python 3.11 or later: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "this Python can't make an environment: install its venv package (Debian: apt-get install python3-venv)"; exit 1; }
ifeq ($(TORCH),installed)
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/python -c 'import torch'
	$(BIN)/pip install --quiet --editable '.[dev]'
else ifeq ($(TORCH),pinned)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
else
	$(PYTHON) -m venv $(VENV)
	grep -v '^torch==' constraints.txt >$(VENV)/constraints.txt
	$(BIN)/pip install --quiet --constraint $(VENV)/constraints.txt '$(TORCH)'
	$(BIN)/pip install --quiet --constraint $(VENV)/constraints.txt '$(TORCH)' --editable '.[dev]'
endif
	@touch $@

demo: $(STAMP)
	@mkdir -p $(DEMO)
	$(BIN)/gradiometer cure --file $(DEMO)/ten_sigmoids.db examples/ten_sigmoids.py
	$(BIN)/gradiometer report $(DEMO)/ten_sigmoids.db --output $(DEMO)/ten_sigmoids.html
	@echo
	@echo "The report is one page, to be opened in any browser: $(CURDIR)/$(DEMO)/ten_sigmoids.html"

test: $(STAMP)
	@$(MAKE) --no-print-directory check

check: format-check lint types imports unit

format-check:
	$(BIN)/ruff format --check .

lint:
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

# In the order of their folders: by the number of tests, files with one long test would come last, and one process wait
# for the other.
unit:
	$(BIN)/pytest --quiet -n 2 --dist loadfile --no-loadscope-reorder

slow: $(STAMP)
	$(BIN)/pytest --quiet -n 2 --dist loadfile --no-loadscope-reorder -m slow

bench: $(STAMP)
	$(BIN)/python benchmarks/overhead.py

bench-cures: $(STAMP)
	$(BIN)/python -m benchmarks.truth run --jobs 2
	$(BIN)/python -m benchmarks.cures run --sample 60 --healthy 60
	$(BIN)/python -m benchmarks.cures judge

docs: $(STAMP)
	DISABLE_MKDOCS_2_WARNING=true $(BIN)/properdocs build --quiet
	$(BIN)/python tools/docs_links.py site

fuzz: $(STAMP)
	$(BIN)/python -m benchmarks.fuzz --inputs 100000

# Strict: a package that the database does not know of, or that can't be asked, is no package without a fault.
audit: $(STAMP)
	@mkdir -p build
	@$(BIN)/pip list --format freeze --exclude-editable | sed 's/+.*//' >build/audited.txt
	@$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement build/audited.txt \
		|| { echo "make audit: a package has a known fault, or could not be looked up (no network?): see above"; exit 1; }

new-condition: $(STAMP)
	@$(BIN)/python tools/new_unit.py condition "$(NAME)"
	@$(BIN)/ruff format --quiet src/gradiometer/diagnosing

new-cure: $(STAMP)
	@$(BIN)/python tools/new_unit.py cure "$(NAME)"
	@$(BIN)/ruff format --quiet src/gradiometer/curing

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist site
