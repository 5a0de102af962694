.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
DOCUMENTS ?= 600
FAULTS ?= none
ROUNDS ?= 20

.PHONY: help setup setup-dev demo run test chaos bench screenshots check fmt lint types imports containers workflows lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.runtime ## Create .venv with everything Hermes needs to run (leaves .venv/bin/hermes)

setup-dev: .venv/.dev ## Add what tests and checks need

demo: setup ## Send sample documents to a simulated partner and prove the result (DOCUMENTS=600 FAULTS=none|some|storm KEEP=1)
	@$(BIN)/hermes demo --documents $(DOCUMENTS) --faults $(FAULTS) $(if $(KEEP),--keep)

run: setup ## Run scheduler and workers in one process with the settings of .env
	@$(BIN)/hermes up

test: setup-dev ## Run all tests
	@$(BIN)/python -m pytest

chaos: setup-dev ## Kill, cut, freeze and flush everything, and compare the books (ROUNDS=20)
	@$(BIN)/python -m tests.chaos --rounds $(ROUNDS)

bench: setup-dev ## Measure speed, as ratios within one run (BENCH="--quick", see --help)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@$(BIN)/python -m benchmarks $(BENCH)

screenshots: setup-dev ## Take the documents' pictures of the console anew (needs a Chromium; on Debian also chromium-l10n)
	@$(BIN)/python -m tests.screenshots

check: lint types imports containers workflows ## Everything that can be checked without running it

fmt: setup-dev ## Format the code
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format .

lint: setup-dev ## Style and likely mistakes
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup-dev ## Types, strictly
	@$(BIN)/mypy

imports: setup-dev ## The direction of imports
	@$(BIN)/lint-imports

containers: setup-dev ## Dockerfile, docker-compose.yml and the manifests for Kubernetes
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/check-jsonschema -q --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/kubernetes-validate --strict --quiet $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/base/*.yaml))

workflows: setup-dev ## The workflows of GitHub Actions
	@$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows $(wildcard .github/workflows/*.yml)
	@$(BIN)/zizmor --offline --quiet --no-progress .github
	@if command -v actionlint >/dev/null; then actionlint; fi

lock: setup-dev ## Compile requirements*.txt from pyproject.toml
	@$(BIN)/uv pip compile -q --universal --no-annotate --python-version 3.11 --upgrade \
		--custom-compile-command "make lock" pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile -q --universal --no-annotate --python-version 3.11 --prerelease if-necessary-or-explicit \
		--custom-compile-command "make lock" -c requirements.txt --group dev -o requirements-dev.txt

clean: ## Remove what make and Hermes created here, the demo's data included
	@rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage build *.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Hermes needs Python 3.11 or later; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "On Debian: apt-get install python3-venv"; rm -rf .venv; exit 1; }

.venv/.runtime: requirements.txt pyproject.toml | .venv/bin/python
	@echo "Installing into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
