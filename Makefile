# All that a newcomer needs: `make demo` and `make test`. Everything is installed into .venv, by plain pip, once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DISTRIBUTIONS := libs/cachecore services/manager services/agent services/webhook simulator
# The suites try every kind of store, so the agent is installed with all drivers; the simulator needs s3's alone.
AGENT_EXTRAS := abfs,gs
SIMULATOR_EXTRAS := parquet
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# The first Python that is new enough; `make PYTHON=/a/python ...` chooses another.
PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11; do \
	if "$$candidate" -c "$(NEW_ENOUGH)" 2>/dev/null; then echo "$$candidate"; break; fi; done)

# pyenv's commands answer only for the versions that pyenv has chosen, so tox is shown the interpreters themselves.
PYENV_ROOT ?= $(HOME)/.pyenv
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
export TOX_DISCOVER ?= $(subst $(SPACE),:,$(wildcard $(PYENV_ROOT)/versions/3.1[1-3].*/bin/python))

.PHONY: help install test lint format types kube cluster demo lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(STAMP) ## make .venv with everything in it; quick when nothing has changed
	@:

# The stamp is as old as the last whole install: an interrupted one is taken up again, a changed declaration too.
$(STAMP): pyproject.toml constraints.txt $(DISTRIBUTIONS:%=%/pyproject.toml)
	@if ! "$(or $(PYTHON),python3)" -c "$(NEW_ENOUGH)" 2>/dev/null; then \
		found="$$("$(or $(PYTHON),python3)" --version 2>/dev/null || echo none)"; \
		echo "localmodel needs Python 3.11 or newer (found: $$found); choose one with: make PYTHON=/path/to/python3.11 ..." >&2; \
		exit 1; \
	fi
	@if ! "$(BIN)/python" -c "$(NEW_ENOUGH)" 2>/dev/null; then rm -rf "$(VENV)"; "$(PYTHON)" -m venv "$(VENV)"; fi
	@echo "Installing into $(VENV): about a minute the first time."
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt pip hatchling editables
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation \
		--group dev $(DISTRIBUTIONS:%=-e ./%) -e "./services/agent[$(AGENT_EXTRAS)]" \
		-e "./simulator[$(SIMULATOR_EXTRAS)]"
	@touch "$(STAMP)"

test: install ## every check and every suite, as CI does: make test ARGS='-e unit'
	@rm -rf .tox/reports
	@"$(BIN)/tox" run $(ARGS)

lint: install ## ruff and the import direction
	@"$(BIN)/tox" run -q -e lint,imports

format: install ## put the code into ruff's format and fix what it can
	@"$(BIN)/ruff" check --fix . && "$(BIN)/ruff" format .

types: install ## mypy --strict
	@"$(BIN)/tox" run -q -e types

kube: install ## Kubernetes' own control plane, built once (needs Go), for tests and for --cluster kube
	@"$(BIN)/python" -m cachesim.controlplane

cluster: install ## two real Kubernetes nodes on this machine, until Ctrl-C (needs root, containerd, and `make kube`)
	@PYTHONPATH=tests/cluster "$(BIN)/python" -m realcluster $(ARGS)

demo: install ## a cluster on this machine and the whole story: make demo ARGS='--nodes 5'
	@"$(BIN)/localmodel" demo $(ARGS)

clean: ## remove what make and the tools have made
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
