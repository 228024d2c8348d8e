# Paretune from a fresh machine with Python 3.11 and pip: `make demo` and `make test` set up what they need.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-output
.DEFAULT_GOAL := help

.PHONY: help setup demo test lint format browser proxies schemathesis bench soak dist dist-test first-hour clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## the environment, and the page's chart library

$(VENV)/.ready: pyproject.toml constraints.txt package.json package-lock.json scripts/fetch_frontend.py
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not installed"; echo "  hint: install Python 3.11, or: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps --upgrade --target $(VENV)/tensorrt10 tensorrt_cu12_bindings
	$(BIN)/python scripts/fetch_frontend.py
	@touch $@

demo: setup ## prune and quantise a digits network, measured on this machine, and export the best compromise (about 7 minutes)
	$(BIN)/python scripts/demo.py $(DEMO)

test: ## lint, types, layering, and every test
	$(MAKE) --no-print-directory --jobs=2 setup browser
	$(MAKE) --no-print-directory proxies
	$(MAKE) --no-print-directory lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not alone and not dist" --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -q -m alone

lint: setup ## ruff, mypy and the import fences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup ## rewrite the code as ruff likes it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

browser: ## Chromium and its driver, which the browser tests need
	@command -v chromedriver >/dev/null && command -v chromium >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "error: chromium and chromedriver are missing"; echo "  hint: install both with your system's package manager"; exit 2; }; \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq chromium chromium-driver >/dev/null; }

proxies: setup ## nginx and Caddy, which the tests of docs/proxy.md need: unpacked, so that no service starts
	@test -d $(VENV)/proxies || { command -v nginx && command -v caddy; } >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "error: nginx and caddy are missing"; echo "  hint: install both with your system's package manager"; exit 2; }; \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); rm -rf $(VENV)/proxies.new; mkdir $(VENV)/proxies.new; cd $(VENV)/proxies.new; \
	  $$SUDO apt-get update -qq && apt-get download -qq nginx caddy 2>/dev/null && \
	  for package in *.deb; do dpkg -x $$package . && rm $$package || exit 1; done && mv ../proxies.new ../proxies; }

schemathesis: setup ## many requests of all kinds to every operation of REST (about an hour)
	OPENAPI_EXAMPLES=100 $(BIN)/python -m pytest -q tests/dashboards/api/test_openapi.py

bench: setup ## all benchmarks; raw rows go to benchmarks/results
	for name in interval same planted overhead memory transformer runtimes prediction rounding criteria sparse_dense \
	    joint fliqs_answer fliqs_time fliqs_against fliqs_latency strangers receipts mistake_times up \
	    large_database cluster; do \
	  $(BIN)/python benchmarks/$$name.py || exit 1; done

soak: setup ## kill parts of a whole service 300 times at random moments (about an hour); raw rows go to benchmarks/results
	$(BIN)/python benchmarks/soak.py

dist: setup ## the wheel and the sdist, in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build
	@echo "install it with: python3 -m pip install '$$(ls dist/*.whl)[full]'"

dist-test: setup ## the wheel with everything that [full] needs, installed anew (gigabytes, minutes)
	$(BIN)/python -m pytest -q -m dist

first-hour: dist ## play three new users with the wheel, and record them in docs/first-hour.md (about 15 minutes)
	$(BIN)/python scripts/first_hour.py dist/*.whl -o docs/first-hour.md

clean: ## everything that was made here
	rm -rf $(VENV) $(DEMO) dist node_modules dashboards/web/static/vendor .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
