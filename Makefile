# The two commands of the README are `make demo` and `make test`; `make help` names the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## Build Launchway, start it, deploy a real Flask application, print its URL
	@scripts/demo start

.PHONY: demo-stop
demo-stop: ## Stop what `make demo` started; `make demo` goes on where it was
	@scripts/demo stop

.PHONY: demo-clean
demo-clean: ## Stop it and delete its folder
	@scripts/demo clean

.PHONY: test
test: ## Install what the tests need, then pass every test
	@scripts/need test
	cargo test --workspace --locked

.PHONY: lint
lint: ## Formatting, clippy, tidy, licences
	@scripts/lint

.PHONY: bench
bench: ## Measure Launchway and its peers side by side; prints a table
	@scripts/need bench
	cargo build --release --locked --package launchway
	cargo run --quiet --release --locked --package launchway-bench

.PHONY: chaos
chaos: ## Break what can break under load for MINUTES (5); SEED=N replays a run
	@scripts/need chaos
	cargo build --profile quick --locked --package launchway --package launchway-chaos
	target=$$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'); \
	"$$target/quick/launchway-chaos" --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED))

.PHONY: bench-monitor
bench-monitor: ## Measure scraping (beside node_exporter), the store and queries of the monitor
	@scripts/need bench
	cargo run --quiet --profile quick --locked --package launchway-monitor --example bench_scrape
	cargo run --quiet --profile quick --locked --package launchway-monitor --example bench_monitor

.PHONY: bench-proxy
bench-proxy: ## Measure the proxy beside nginx, HAProxy and Caddy
	@scripts/need bench-proxy
	cargo build --release --locked --package launchway
	cargo run --quiet --release --locked --package launchway-bench -- proxy

.PHONY: build
build: ## Build the release binary
	cargo build --release --locked

.PHONY: install
install: ## Install the release binary with cargo
	cargo install --locked --path crates/launchway
