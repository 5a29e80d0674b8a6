# Switchyard. `make` lists the targets.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
DATA ?= data

.DEFAULT_GOAL := help
.PHONY: help toolchain run demo test sim soak build bench lint fmt check clean
SEEDS ?= 2000
# A test waits for processes and databases more than it computes.
TEST_THREADS ?= $(shell expr $$(nproc) + 1)

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

toolchain: ## Install what builds the WebAssembly guests, if it is missing
	@.ci/toolchain

run: build ## Build and start the gateway on embedded SQLite, with a demo workspace
	@$(TARGET)/release/switchyard serve --demo --data-dir $(DATA)

demo: build ## Run the whole story by itself and print what happens
	@$(TARGET)/release/switchyard demo

test: toolchain ## Run every test, on SQLite and PostgreSQL
	@.ci/postgres
	@.ci/registry
	@.ci/redis
	SWITCHYARD_WITHOUT_LANGUAGES="$$(.ci/guests)" RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --workspace

sim: toolchain ## Simulate SEEDS=2000 lives of the gateway on SQLite, an eightieth on PostgreSQL
	@.ci/postgres
	SWITCHYARD_SIM_SEEDS=$(SEEDS) $(CARGO) test --workspace --test sim -- --nocapture

soak: toolchain ## Kill the gateway 200 times under load, and drain 10,000 tasks, on both databases
	@.ci/postgres
	SWITCHYARD_KILLS=200 SWITCHYARD_DRAIN=10000 $(CARGO) test --workspace --test it -- --nocapture crashes drain

build: toolchain ## Build target/release/switchyard
	$(CARGO) build --release -p switchyard

bench: toolchain ## Measure plugins, and the gateway on both databases beside its floors; ten to fifteen minutes
	@.ci/postgres
	@.ci/valgrind
	$(CARGO) build --release -p switchyard -p switchyard-load
	$(CARGO) bench -p switchyard --bench stages
	@.ci/bench-summary $(TARGET)
	$(TARGET)/release/switchyard-load bench --gateway $(TARGET)/release/switchyard \
		--summary $(TARGET)/bench/summary.json --page docs/performance.md --instructions tests/load/instructions.json

lint: toolchain ## Clippy on everything, warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## Check the formatting
	$(CARGO) fmt --all --check

check: SEEDS = 600
check: fmt lint test sim ## All of CI, in order; the simulation with SEEDS=600

clean: ## Remove what was built
	$(CARGO) clean
