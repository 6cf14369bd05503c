# What a person does here; `make help` lists it. CI runs the same targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export CARGO_TERM_PROGRESS_WHEN := never

RUST := Cargo.toml Cargo.lock $(shell find fastpath/rust -path '*/fuzz' -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)
CYTHON := $(wildcard fastpath/cython/*.pyx)
# The real Envoy brings its own `envoy` package, so it lives in an environment of its own.
ENVOY := .peers/.installed
H2SPEC := .peers/bin/h2spec

.DEFAULT_GOAL := help
.PHONY: help setup core cython peers check format test bench demo lock generate fuzz

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## create .venv with everything built into it; fast when nothing changed

$(VENV)/.packages: requirements.lock
	@$(PYTHON) tools/doctor.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Python packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.packages pyproject.toml tools/mesh_build.py $(RUST) $(CYTHON)
	@echo "building the compiled core (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

core: $(VENV)/.packages ## rebuild only the Rust extension, in place
	@$(BIN)/python tools/mesh_build.py core

cython: $(VENV)/.packages ## rebuild only the Cython modules, in place
	@$(BIN)/python tools/mesh_build.py cython

peers: $(ENVOY) $(H2SPEC) ## install what tests compare and check us with: the real Envoy, and h2spec (needs Go)

$(ENVOY): tools/peers.lock
	@$(PYTHON) -m venv .peers
	@.peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/peers.lock
	@touch $@

$(H2SPEC): tools/h2spec/go.mod tools/h2spec/go.sum | $(ENVOY)
	@$(PYTHON) tools/doctor.py peers
	@cd tools/h2spec && GOBIN=$(CURDIR)/.peers/bin go install github.com/summerwind/h2spec/cmd/h2spec
	@touch $@

check: setup ## format, lints, types, import rules, dependency policy, file sizes
	cargo fmt --all --check
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python tools/check_sizes.py
	python tools/check_generated.py
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	cargo deny --locked check --hide-inclusion-graph bans licenses sources

format: setup ## format Rust and Python
	cargo fmt --all
	ruff format .
	ruff check --fix-only --quiet .

test: setup peers ## every test
	cargo test --workspace --locked --quiet
	pytest -q -n 2 --dist loadfile --ignore tests/e2e
	pytest -q tests/e2e # whole meshes, one at a time

bench: setup peers ## micro-benchmarks; bench/README.md names the others
	pytest -q bench --benchmark-only

fuzz: setup $(VENV)/.fuzz ## fuzz the codecs and the bootstrap, a minute each target; needs a C++ compiler
	fastpath/rust/fuzz/run.sh 60
	@mkdir -p build/fuzz/bootstrap
	tar -xzf tests/fuzz/seeds/bootstrap.tar.gz -C build/fuzz/bootstrap --skip-old-files
	python -m tests.fuzz.bootstrap -max_total_time=60 -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix=build/fuzz/ build/fuzz/bootstrap tests/fuzz/seeds/bootstrap

# The fuzzer for Python has wheels for Linux on x86-64 alone: it is no part of the environment that all need.
$(VENV)/.fuzz: tools/fuzz.lock $(VENV)/.packages
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/fuzz.lock
	@touch $@

demo: setup ## the whole mesh on the shop example
	@meshloom demo

lock: ## resolve requirements.lock, tools/peers.lock and tools/fuzz.lock anew
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --group build --group dev --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 tools/peers.in -o tools/peers.lock
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 tools/fuzz.in -o tools/fuzz.lock

generate: setup ## regenerate the code and pages made from protos, the list of xDS fields and the metrics
	python tools/gen_api.py
	python tools/gen_xds.py
	python tools/gen_metrics.py
