.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-bench demo up test chaos test-infra check lint format types bench load lock images clean
BIN := .venv/bin
ARGS ?=
export PYTHON

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile
	@echo "  Pass options with ARGS, as in: make demo ARGS='--help'"

setup: ## Make .venv from requirements.lock (pip alone; a second run needs no network)
	@sh ops/setup.sh requirements.lock

setup-dev: ## The same, with what tests and checks need
	@sh ops/setup.sh requirements-dev.lock

setup-bench: setup-dev ## The same, with the task queues that the benchmarks compare with
	@sh ops/setup.sh requirements-bench.lock

demo: setup ## Set up everything, run the main job end to end, print what happened, leave
	@$(BIN)/sluice demo $(ARGS)

up: setup ## Start everything on this machine and stay until Ctrl-C
	@$(BIN)/sluice up $(ARGS)

test: setup-dev ## Run every test, unit tests first (installs RabbitMQ where it is missing and you are root)
	@$(BIN)/python -m ops.embedded.install
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

chaos: setup-dev ## Ten seeds of chaos (ARGS='--chaos-seed 7 --chaos-rounds 1' runs one of them again)
	@$(BIN)/python -m ops.embedded.install
	$(BIN)/python -m pytest tests/chaos tests/chaos/rolling.py -s --chaos-seed 1 --chaos-rounds 10 --chaos-extras 4 $(ARGS)

test-infra: setup-dev ## Make, change and destroy a whole environment on a stand-in for AWS (needs terraform)
	SLUICE_TERRAFORM_REQUIRED=1 $(BIN)/python -m pytest tests/infra -o 'python_files=test_*.py whole_stack.py' $(ARGS)

check: lint types test ## What CI runs: format, lint, types, import rules, every test

lint: setup-dev ## Check format, style and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

format: setup-dev ## Rewrite the files as the style wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: setup-dev ## Check the types
	$(BIN)/mypy

bench: setup-bench ## Measure against other task queues
	$(BIN)/python -m tests.benchmarks $(ARGS)

load: setup-dev ## Put load on a whole system on this machine
	$(BIN)/python -m tests.load $(ARGS)

lock: setup ## Write the lock files anew from setup.cfg (UPGRADE=1 takes the newest versions)
	@sh ops/lock.sh

images: ## Build a release's images on base images named by digest (ARGS='0.2.0 [REGISTRY]')
	@sh ops/images.sh $(ARGS)

clean: ## Remove what was built and cached; your data in var/ stays
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
