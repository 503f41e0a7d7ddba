# Every target sets up what it needs: on a fresh machine `make demo` or `make test` is all there is to type.
# Another Python than `python3`: make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install -c requirements-dev.lock
# A development install has everything that the demo needs.
DEMO_READY := $(if $(wildcard .venv/ready-dev),.venv/ready-dev,.venv/ready-demo)

.DEFAULT_GOAL := help
.PHONY: help demo test test-pi check fix bench bench-export soak docs coverage lock clean mosquitto faults

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s  %s\n", $$1, $$2}' Makefile

demo: $(DEMO_READY) ## watch the whole path work: export, agent, broker, collector
	@$(BIN)/python -m lineside_cli.main demo

test: .venv/ready-dev mosquitto ## run every test, with real brokers and real processes
	@$(BIN)/lineside bench peers install onnx-models > /dev/null || echo "Going on: what needs them is skipped." >&2
	$(BIN)/python -m pytest

# Apart from `test`: it needs root and QEMU, and ten minutes the first time. It caches in LINESIDE_PI_CACHE
# (~/.cache/lineside-pi); LINESIDE_PI_SUITE=trixie takes the newer Debian.
test-pi: .venv/ready-dev ## run the agent on emulated Raspberry Pis, and as a service of a booted one
	$(BIN)/python -m pytest tests/pi

check: .venv/ready-dev ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

fix: .venv/ready-dev ## repair what the style check can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready-dev mosquitto faults ## measure everything beside what a user would pick instead, and write docs/benchmarks.md
	$(BIN)/lineside bench peers install || echo "Going on without what could not be installed." >&2
	$(BIN)/lineside bench all --output benchmarks/results --update docs/benchmarks.md

bench-export: .venv/ready-dev ## measure the exporter beside skl2onnx, quantizers and compilers, and write docs/benchmarks-export.md
	$(PIP) -e '.[dev,bench-peers]' || echo "Going on without what could not be installed." >&2
	$(BIN)/lineside bench peers install onnx-models || echo "Going on without what could not be installed." >&2
	$(BIN)/lineside bench export --output benchmarks/results --update docs/benchmarks-export.md

# The same day again: make soak SEED=7. All of it in real time: make soak SCALE=1
SEED ?= 1
SCALE ?= 0.0167
soak: .venv/ready-dev mosquitto faults ## a day of random faults in accelerated time: nothing lost, nothing repeated
	$(BIN)/lineside bench soak --seed $(SEED) --time-scale $(SCALE) --output benchmarks/results

docs: .venv/ready-dev ## write docs/schema and docs/asyncapi.json from the message types
	$(BIN)/python -m lineside_contract.schemas docs

coverage: .venv/ready-dev ## write docs/coverage.md: every scikit-learn estimator through the export
	PYTHONPATH=tests/export $(BIN)/python -W ignore -m sklearn_coverage --output docs/coverage.md

lock: .venv/ready-dev ## pin the newest versions of everything in requirements-dev.lock
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install uv
	@head -n 1 requirements-dev.lock > requirements-dev.lock.part
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-annotate --no-header --no-emit-index-url >> requirements-dev.lock.part
	@mv requirements-dev.lock.part requirements-dev.lock

clean: ## delete the environment and everything that was generated
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

mosquitto:
	@export PATH="$$PATH:/usr/sbin"; \
	if command -v mosquitto > /dev/null && command -v mosquitto_passwd > /dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then \
		echo "The tests need the Mosquitto broker, 2.0 or newer. Install it (Debian: sudo apt-get install mosquitto)" \
			"and run this again." >&2; \
		exit 1; \
	fi; \
	echo "Installing Mosquitto with apt-get ..."; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mosquitto > /dev/null

# What makes some of the faults, and a client to measure beside. Without them their rows are left out.
faults:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && ! { command -v faketime && command -v nft && \
		command -v mosquitto_pub; } > /dev/null; then \
		echo "Installing faketime, nftables and mosquitto-clients with apt-get ..."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
			faketime nftables iproute2 mosquitto-clients > /dev/null || echo "Going on without them." >&2; \
	fi

.venv/ready-dev: pyproject.toml requirements-dev.lock | .venv/bin/python
	@echo "Installing what development needs into .venv ..."
	@$(PIP) -e '.[dev]'
	@touch $@

.venv/ready-demo: pyproject.toml requirements-dev.lock | .venv/bin/python
	@echo "Installing what the demo needs into .venv ..."
	@$(PIP) -e '.[demo]'
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
		echo "Lineside needs Python 3.11 or newer as $(PYTHON). Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. Install that part (Debian: apt-get install python3-venv)." >&2; \
		exit 1; }
	@$(PYTHON) -m venv .venv
