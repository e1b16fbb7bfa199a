# `make` alone lists the targets; each says what it does.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
ARGS ?=

.PHONY: help setup check test crash-matrix demo demo-full up bench bench-queue lock docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing (packages with root or sudo, Python packages into .venv)
	@etc/setup.sh

check: setup ## Lint, types, import contracts, fresh diagrams
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/draw.py --check

test: setup ## Run every test, with a private RabbitMQ, a private MariaDB and real libvirt guests
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

crash-matrix: setup ## Kill every process at every step of every action; an hour or two; build/crash-matrix.html
	@$(BIN)/python -m tests.crash_matrix $(ARGS)

demo: setup ## Boot a real guest through the whole flow in one process and show every hop
	@$(BIN)/novaflow demo $(ARGS)

demo-full: setup ## The same with every service as its own process, on RabbitMQ and MariaDB
	@$(BIN)/novaflow demo --full $(ARGS)

up: setup ## Start a cloud that stays, until Ctrl-C
	@$(BIN)/novaflow up $(ARGS)

bench: setup ## Measure a cloud on RabbitMQ and MariaDB with the fake driver, then both its doors beside moto's; JSON and tables
	@$(BIN)/novaflow bench boot --private --json - $(ARGS)
	@$(BIN)/novaflow bench ec2 --json -

bench-queue: setup ## Measure the bus beside its peers and the limit; a table, queue.json and queue.html
	@$(BIN)/novaflow bench queue --peers all --json queue.json --html queue.html $(ARGS)

lock: ## Pin the Python packages again (needs uv in .venv)
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --all-extras --group dev pyproject.toml -o requirements.lock

docs: setup ## Draw the diagrams of ARCHITECTURE.md again from the code
	$(BIN)/python docs/draw.py

clean: ## Remove what was built here, but not .venv
	rm -rf build dist .state .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
