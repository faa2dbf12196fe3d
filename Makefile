# Nightlens. `make nightly` runs a night, `make test` the tests; `make help` lists the rest.
.PHONY: help nightly ablation retraining backtest test test-rest test-all check up down setup preflight benchmark cluster format clean
.DEFAULT_GOAL := help

# the first that really runs: a name on the PATH may be a version manager's shim for a version that is not there
PYTHON ?= $(shell for name in python3.12 python3.11 python3; do $$name -c "" 2>/dev/null && echo $$name && break; done)
UV_VERSION := 0.13.8
UV := .tools/bin/uv
NIGHTLENS := .venv/bin/python -m jobs

DATASET ?=
DATE ?=
PRESET ?=
CATALOGUE ?=
RETRAIN ?=
PROTOCOL ?=
ARMS ?=
LIMITS ?=
VARIANTS ?=
NIGHTS ?=
REPEATS ?=
EPOCHS ?=
AIRFLOW_PORT ?= 8080
MLFLOW_PORT ?= 5000
WHICH_NIGHT = $(if $(DATASET),--dataset "$(DATASET)") $(if $(DATE),--run-date "$(DATE)") \
	$(if $(PRESET),--preset "$(PRESET)") $(if $(CATALOGUE),--catalogue "$(CATALOGUE)")
NIGHT_FLAGS = $(WHICH_NIGHT) $(if $(RETRAIN),--retrain "$(RETRAIN)") $(if $(PROTOCOL),--protocol "$(PROTOCOL)") \
	$(if $(ARMS),--arms "$(ARMS)") $(LIMITS)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

nightly: setup ## run a night through Airflow: make nightly [DATASET=folder] [DATE=YYYY-MM-DD] [PRESET=name]
	@$(NIGHTLENS) nightly $(NIGHT_FLAGS)

ablation: setup ## compare variants of the model on a night that has run: make ablation [VARIANTS=a,b] [REPEATS=5] [EPOCHS=n]
	@$(NIGHTLENS) ablation $(WHICH_NIGHT) $(if $(VARIANTS),--variants "$(VARIANTS)") \
		$(if $(REPEATS),--repeats "$(REPEATS)") $(if $(EPOCHS),--epochs "$(EPOCHS)")

retraining: setup ## compare incremental with full training over nights: make retraining [NIGHTS=10]
	@$(NIGHTLENS) retraining $(WHICH_NIGHT) $(if $(NIGHTS),--nights "$(NIGHTS)")

backtest: setup ## say what refitting on the held-back days is worth: make backtest [NIGHTS=7] [EPOCHS=n]
	@$(NIGHTLENS) backtest $(WHICH_NIGHT) $(if $(NIGHTS),--nights "$(NIGHTS)") $(if $(EPOCHS),--epochs "$(EPOCHS)")

test: setup ## run the quick tests: about five minutes on two cores, no Airflow, no whole night
	@.venv/bin/python -m pytest

test-rest: setup ## run the second tier: stages with their real parts, DAGs, drills, services, nights
	@.venv/bin/python -m pytest -m "not quick and not slow and not gpu and not benchmark and not cluster"

test-all: test test-rest ## run both tiers

check: setup ## lint, types, import rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

up: setup ## start Airflow and the MLflow server: make up [AIRFLOW_PORT=8080] [MLFLOW_PORT=5000] [DATASET=folder]
	@$(NIGHTLENS) up --airflow-port $(AIRFLOW_PORT) --mlflow-port $(MLFLOW_PORT) \
		$(if $(DATASET),--dataset "$(DATASET)") $(if $(PRESET),--preset "$(PRESET)")

down: setup ## stop them
	@$(NIGHTLENS) down

benchmark: setup ## measure speed and memory against named peers (tests/benchmarks)
	.venv/bin/python -m pytest --numprocesses 0 -m benchmark -s tests/benchmarks

cluster: ## start PostgreSQL, object store, MLflow, Spark and Airflow in Docker: make cluster DATASET=folder
	@$(PYTHON) docker/make_secrets.py
	NIGHTLENS_DATASET="$(abspath $(DATASET))" NIGHTLENS_PRESET="$(PRESET)" \
		docker compose --file docker/compose.yaml up --build --detach --wait

format: setup ## format the code
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

setup: preflight .venv/.synced ## install what is locked into .venv

preflight:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c "" || { echo "nightlens: no Python found: install Python 3.11 or newer" >&2; exit 2; }
	@$(PYTHON) jobs/commands/preflight.py

$(UV):
	@echo "nightlens: installing uv $(UV_VERSION) into .tools"
	@$(PYTHON) -m venv .tools || { echo "nightlens: $(PYTHON) cannot make virtual environments: install its venv module (Debian: python3-venv)" >&2; exit 2; }
	@.tools/bin/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: pyproject.toml uv.lock | $(UV)
	@echo "nightlens: installing the locked libraries into .venv (7 GB, once)"
	@$(UV) sync --frozen --quiet
	@touch $@

clean: ## remove everything Nightlens wrote (.nightlens), keep the environment
	@if [ -x .venv/bin/python ]; then $(NIGHTLENS) down; fi
	rm -rf .nightlens
