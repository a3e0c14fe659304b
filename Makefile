# Every command of this project. `make help` lists them; the README needs only `up` and `test`.
# Works with GNU make 3.81 (macOS) and newer.

SHELL := bash
.DEFAULT_GOAL := help

PYTHON ?= python3
STACK ?= sandbox
DIR ?= out
ARGS ?=

VENV := .venv
STAMP := $(VENV)/.installed
PY := $(VENV)/bin/python
LOCKS := requirements.txt requirements-dev.txt
# What only clusters of a cloud need: added for the tests and checks; users install the one they use (docs/clusters.md).
CLOUDS := $(VENV)/.clouds
CLOUD_LOCKS := requirements-eks.txt requirements-gke.txt requirements-aks.txt

# What the caller's shell points Python at must not reach into the environment.
unexport PYTHONPATH PYTHONHOME

# `$(call fleet,VERB)`: the sandbox is driven by its own package, every other stack by the Pulumi engine.
fleet = $(PY) -m $(if $(filter sandbox,$(STACK)),sandbox $(1),fleet $(1) --stack '$(STACK)') $(ARGS)

##@ Use
up: $(STAMP) ## Bring the fleet up: the embedded sandbox, or another stack with STACK=staging
	@$(call fleet,up)

status: $(STAMP) ## Show what runs and whether it is Ready
	@$(call fleet,status)

down: $(STAMP) ## Stop what `up` started
	@$(call fleet,down)

tokens: $(STAMP) ## List the credentials of a stack with their least permissions: STACK=staging
	@$(PY) -m fleet tokens --stack '$(STACK)'

render: $(STAMP) ## Write all repositories, offline: DIR=out
	@$(PY) -m fleet render '$(DIR)'

images: $(STAMP) ## List what is pulled, and where the mirror has it: ARGS='--stack staging'
	@$(PY) -m fleet images $(ARGS)

##@ Develop
test: $(CLOUDS) ## Run all tests: unit, clouds, github, sandbox, engine; choose with ARGS='-k words'
	@$(PY) -m pytest $(ARGS)

unit: $(STAMP) ## Run the tests that need no server, no part of the sandbox and no cloud's package, on all processors
	@$(PY) -m pytest -n auto --dist loadfile -m 'not github and not sandbox and not engine and not clouds' $(ARGS)

SOURCES = $(wildcard __main__.py fleet sandbox bench tests scripts)
check: $(CLOUDS) ## Check style, types and import contracts
	@$(PY) -m ruff check --quiet $(SOURCES)
	@$(PY) -m ruff format --check --quiet $(SOURCES) || { echo 'not formatted: run `make fmt`' >&2; exit 1; }
	@$(PY) -m mypy --no-error-summary $(SOURCES)
	@report=$$($(PY) -c 'from importlinter.cli import lint_imports; raise SystemExit(lint_imports())') \
	  || { echo "$$report" >&2; exit 1; }

fmt: $(STAMP) ## Format the code and mend what ruff can mend
	@$(PY) -m ruff format --quiet $(SOURCES)
	@$(PY) -m ruff check --fix --quiet $(SOURCES)

bench: $(STAMP) ## Measure the figures that the README names
	@$(PY) -m bench.run $(ARGS)

lock: $(STAMP) ## Renew the lock files; take new versions with ARGS=--upgrade
	@$(PY) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo 'error: lock with the oldest Python supported: `make clean lock PYTHON=python3.11`' >&2; exit 1; }
	@for lock in $(LOCKS) $(CLOUD_LOCKS); do \
	  constraint=$$([ "$$lock" = requirements.txt ] || echo --constraint=requirements.txt); \
	  CUSTOM_COMPILE_COMMAND='make lock' $(PY) -m piptools compile --quiet --generate-hashes --allow-unsafe \
	    --strip-extras --no-emit-options $$constraint --output-file "$$lock" $(ARGS) "$${lock%.txt}.in" || exit 1; \
	done

clean: ## Remove the Python environment and the caches of the tools; a sandbox and its built parts stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: up status down tokens render images test unit check fmt bench lock clean help

# The environment: made anew when a lock file has changed, its interpreter is gone, or a first try was interrupted.
$(STAMP): $(LOCKS) scripts/install.py $(PY)
	@command -v $(PYTHON) >/dev/null || { echo 'error: `$(PYTHON)` is not on PATH; Python 3.11 or newer is needed' >&2; \
	  echo '    hint: install it (`apt install python3 python3-venv`, `brew install python`)' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $$($(PYTHON) --version 2>&1) (\`$$(command -v $(PYTHON))\`) is too old; Python 3.11 or newer is needed" >&2; \
	  echo '    hint: install a newer one beside it and name it: `make PYTHON=python3.13 …`' >&2; exit 1; }
	@$(PYTHON) scripts/install.py $@ $(LOCKS)

$(CLOUDS): $(STAMP) $(CLOUD_LOCKS)
	@$(PYTHON) scripts/install.py --onto $@ $(CLOUD_LOCKS)

$(PY):
