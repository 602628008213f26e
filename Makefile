# Everything a developer or an operator does here. `make demo` and `make test` set themselves up.

PYTHON ?= python3.11
SCALE ?= 20000
PORT ?= 3000
VENV := .venv
RUN := $(VENV)/bin
export NMDC_RELEASE_HOME ?= $(CURDIR)/.nmdc-release
export DAGSTER_HOME ?= $(CURDIR)/.dagster

# Without compiled bytecode, each of the many Python processes that tests start compiles Dagster again.
unexport PYTHONDONTWRITEBYTECODE

# Tests of one file share servers, so they stay together; the order of files is conftest.py's, the long ones first.
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Rooms or files of the tests, such as `mongo/swapping steps/test_deploy.py`; all of them where it is empty.
ONLY ?=
TESTS = $(addprefix nmdc_release_ops_tests/,$(ONLY))

.DEFAULT_GOAL := help
.PHONY: help setup demo ui test test-faults test-browser lint format bench

help: ## Show what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(RUN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet "uv>=0.9,<1"

$(VENV)/.complete: pyproject.toml uv.lock | $(RUN)/uv
	$(RUN)/uv sync --quiet --frozen --extra embedded --extra dev
	@touch $@

$(DAGSTER_HOME)/dagster.yaml:
	@mkdir -p $(DAGSTER_HOME)
	@ln -sf $(CURDIR)/dagster.yaml $@

setup: $(VENV)/.complete $(DAGSTER_HOME)/dagster.yaml ## Install everything into .venv

demo: setup ## Release 11.23.0 -> 11.25 on an embedded database (SCALE=1000000 for a large one)
	@$(RUN)/python -m nmdc_release_ops.demo release --scale $(SCALE)

ui: setup ## Open Dagster's UI, on the demo's database unless NMDC_ORIGIN_URI is set (FRESH=1 for a new one)
	@$(RUN)/python -m nmdc_release_ops.demo ui --port $(PORT) --scale $(SCALE) --workspace workspace.yaml $(if $(FRESH),--fresh)

test: WORKERS ?= 3
test: setup ## The tests, without those below (ONLY=mongo/swapping for one room)
	$(RUN)/pytest $(SIDE_BY_SIDE) -m "not faults and not browser" $(TESTS)

test-faults: WORKERS ?= 3
test-faults: setup ## The tests that break things and take their time (ONLY=steps for one room)
	$(RUN)/pytest $(SIDE_BY_SIDE) -m faults $(TESTS)

test-browser: setup ## The tests that drive the UI in Chromium (PICTURES=docs/pictures keeps those of the pages)
	$(RUN)/pytest -m browser $(TESTS)

lint: setup ## Format, lint and types
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

format: setup ## Put the code in its format
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

bench: setup ## Measure against today's tools (SIZES="20000 200000", PARTS="migrate validate"; PUBLISH=1: into docs/)
	$(RUN)/python -m bench $(PARTS) $(if $(SIZES),--sizes $(SIZES)) $(if $(PUBLISH),--publish)
