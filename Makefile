# Every target sets up what it needs. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
CORE := Cargo.toml Cargo.lock $(shell find core_rs -name '*.rs' -o -name Cargo.toml 2>/dev/null | grep -v '^core_rs/fuzz/')
# The contract needs nothing but what lies in proto/.
CONTRACT := $(wildcard proto/pageroles/v1/*.proto)
PROTOC := $(BIN)/python -m grpc_tools.protoc -I proto
# The explorer's copy of the tables, and what writes it.
TABLES := pageroles/web/contract.js
WRITE_TABLES := $(BIN)/python -c 'from pageroles.transport import explorer; print(explorer.contract_module(), end="")'

.DEFAULT_GOAL := help
.PHONY: help setup demo bench bench-quick bench-load bench-many bench-write bench-rest bench-twin load-test soak pictures test test-rust test-web test-python test-slow simulate life dist test-package fuzz fuzz-rest check-instructions lint format suffixes proto publish-proto check-proto check-contract lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything, the extension in its release build

$(VENV)/.packages: requirements/dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	touch $@

$(STAMP): $(VENV)/.packages pyproject.toml $(CORE)
	PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet
	touch $@

demo: $(STAMP) ## Made-up traffic, a server, a question and its answer (DEMO_ARGS=--once ends then)
	$(BIN)/pageroles demo $(DEMO_ARGS)

test: test-rust test-web test-python ## All tests that hold a change

test-rust: ## The core alone
	cargo test --quiet --locked

test-python: $(STAMP) ## The service, over the wire
	$(BIN)/python -m pytest -m 'not slow and not registries' --numprocesses=auto --maxprocesses=4 --dist=loadfile

test-web: ## The explorer's modules, without a browser (needs Node 20)
	@if node --eval 'process.exitCode = Number(parseInt(process.versions.node) < 20)' 2>/dev/null; then \
		NODE_OPTIONS=--experimental-detect-module node --test --test-reporter=spec tests/explorer/*.test.mjs; \
	else \
		echo 'Node 20 is not installed: the modules of the explorer were not tested'; \
		test "$$PAGEROLES_REQUIRE_LANGUAGES" != 1; \
	fi

test-slow: $(STAMP) ## The tests that take long
	$(BIN)/python -m pytest -m slow

simulate: $(STAMP) ## 10,000 lives of a service broken on purpose, and each request of some broken in turn (SEEDS=0-9999)
	PAGEROLES_SEEDS=$(or $(SEEDS),0-9999) $(BIN)/python -m pytest tests/simulation/test_lives.py

life: $(STAMP) ## One of these lives again, request by request (SEED=7)
	cd tests && $(abspath $(BIN))/python -m support.simulated $(or $(SEED),7) --trace

fuzz-rest: $(STAMP) ## 5,000 made-up requests against the OpenAPI document
	PAGEROLES_FUZZ_CASES=5000 $(BIN)/python -m pytest tests/transport/test_fuzz_rest.py

fuzz: ## The core's readers, coverage-guided, a minute each (needs cargo-fuzz: cargo install cargo-fuzz)
	cd core_rs && RUSTC_BOOTSTRAP=1 cargo fuzz run native -- -dict=fuzz/native.dict -max_total_time=60
	cd core_rs && RUSTC_BOOTSTRAP=1 cargo fuzz run json -- -max_total_time=60

# Instructions, unlike seconds, are the same on a busy machine. Counted, in millions, with Rust 1.95 on x86-64: stream
# 114.2, build 272.3, change 11.2, count 8.7, answer 64.2, days 11.9, values 9.7, select 9.2. The bounds leave some 3 %
# for small changes and other compilers; a change that needs more says why and sets its bound anew.
MOST_INSTRUCTIONS := stream=117700000 build=278000000 change=11550000 count=8920000 answer=65000000 days=12250000 values=10000000 select=9450000

check-instructions: ## The core's work for a fixed load, step by step, stays within bounds (needs valgrind)
	CARGO_PROFILE_RELEASE_DEBUG=1 cargo build --release --locked --quiet --package pageroles-core --example count_instructions
	@told=$$(valgrind --tool=callgrind --toggle-collect='*measured_*' --callgrind-out-file=target/callgrind.out \
		target/release/examples/count_instructions 2>&1) || { echo "$$told"; exit 1; }
	@callgrind_annotate --inclusive=yes --auto=no --threshold=100 target/callgrind.out | awk -v bounds='$(MOST_INSTRUCTIONS)' ' \
		BEGIN { parts = split(bounds, pairs, " "); for (i in pairs) { split(pairs[i], pair, "="); most[pair[1]] = pair[2] } } \
		match($$0, /count_instructions::measured_[a-z]+ \[/) { \
			name = substr($$0, RSTART + 29, RLENGTH - 31); gsub(/,/, "", $$1); found++; \
			printf "%-7s %12d instructions, at most %d\n", name, $$1, most[name]; \
			if ($$1 + 0 > most[name] + 0) worse = 1 } \
		END { if (worse || found != parts) exit 1 }'

$(VENV)/.benchmarks: $(STAMP) benchmarks/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement benchmarks/requirements.txt
	touch $@

bench: $(VENV)/.benchmarks ## pageroles beside SQL, DuckDB and Polars; writes docs/benchmarks.md (SIZE=1M, ROUNDS=3)
	$(BIN)/python -m benchmarks run $(if $(SIZE),--size $(SIZE)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-quick: $(VENV)/.benchmarks ## The same at a million sessions, in a few minutes; writes into build/
	$(BIN)/python -m benchmarks quick $(if $(SIZE),--size $(SIZE))

build/bin/load-client: benchmarks/client/main.go benchmarks/client/go.mod benchmarks/client/go.sum
	cd benchmarks/client && GOFLAGS=-modcacherw go build -o $(abspath $@) .

load-test: $(VENV)/.benchmarks build/bin/load-client ## Many at once: small domains, large reports, both together (SIZE, SECONDS; needs Go)
	$(BIN)/python -m benchmarks load $(if $(SIZE),--size $(SIZE)) $(if $(SECONDS),--seconds $(SECONDS))

bench-many: $(VENV)/.benchmarks ## A hundred million sessions in the core alone (SIZE; takes minutes and 8 GB)
	$(BIN)/python -m benchmarks many $(if $(SIZE),--size $(SIZE))

bench-twin: $(VENV)/.benchmarks ## A million sessions beside the slow SQL twin
	$(BIN)/python -m benchmarks.twin

bench-load: $(VENV)/.benchmarks ## What writing costs in a full store (SIZE)
	mkdir -p build
	$(BIN)/python -m benchmarks.loading $(if $(SIZE),--size $(SIZE))

bench-write: $(VENV)/.benchmarks ## Writing to a server while it answers: batches, and single sessions (SIZE)
	$(BIN)/python -m benchmarks.writes $(if $(SIZE),--size $(SIZE))

soak: $(VENV)/.benchmarks ## A server at work for an hour: memory, threads and open files stay flat (MINUTES, RATE)
	$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE))

bench-rest: $(VENV)/.benchmarks ## What REST adds to a small request
	$(BIN)/python -m benchmarks.rest

pictures: $(VENV)/.benchmarks ## The pictures of README, from the demo's traffic (needs Chromium)
	PAGEROLES_REQUIRE_BROWSER=1 PYTHONPATH=tests $(BIN)/python docs/pictures/make.py

# The wheel is built from the sdist alone, in a folder of its own. It names no path of the machine that builds it.
dist: $(VENV)/.packages ## The sdist, and the wheel that it builds, into dist/
	rm -rf dist
	RUSTFLAGS="--remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}/registry/src=crates" \
		$(BIN)/maturin build --quiet --release --locked --sdist --out dist

test-package: $(STAMP) dist ## The wheel, installed into an environment of its own, works there (fetches what it needs)
	$(BIN)/python -m pytest -m registries tests/package

lint: $(STAMP) check-proto check-contract ## Formatting, lints, types and stubs; warnings are errors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest pageroles._core
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

format: $(STAMP) ## Format everything
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	$(BIN)/buf format --write --path proto/pageroles
	cargo fmt --all

suffixes: $(STAMP) ## Write the list of public suffixes that the store carries from the pinned package (CONTRIBUTING.md)
	cd tests && $(abspath $(BIN))/python -m support.suffixes

proto: $(STAMP) ## Regenerate the stubs of the contract and the explorer's copy of its tables
	cp $(VENV)/lib/python3*/site-packages/google/api/annotations.proto proto/google/api/
	cp $(VENV)/lib/python3*/site-packages/google/api/http.proto proto/google/api/
	$(PROTOC) --python_out=service --pyi_out=service --grpc_python_out=service $(CONTRACT)
	$(WRITE_TABLES) > $(VENV)/contract.js
	cp $(VENV)/contract.js service/$(TABLES)

publish-proto: $(STAMP) ## Promise what the contract now has: from here on nothing of it may break
	$(BIN)/buf build --exclude-source-info --output proto/published.binpb

check-proto: $(STAMP) # The contract is clean and breaks nothing; the committed stubs and tables are what it gives
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code --path proto/pageroles
	$(BIN)/buf breaking --exclude-imports --against proto/published.binpb
	rm -rf $(VENV)/stubs && mkdir $(VENV)/stubs
	$(PROTOC) --python_out=$(VENV)/stubs --pyi_out=$(VENV)/stubs --grpc_python_out=$(VENV)/stubs $(CONTRACT)
	mkdir $(VENV)/stubs/pageroles/web
	$(WRITE_TABLES) > $(VENV)/stubs/$(TABLES)
	@cd $(VENV)/stubs && for file in $$(find . -type f); do \
		diff -u $(CURDIR)/service/$$file $$file || { echo 'what stands there is not what the contract and its tables give: run make proto'; exit 1; }; \
	done

check-contract: $(STAMP) ## The contract in Go and Node, as proto/README.md says (what is not installed is left out)
	$(BIN)/python -m pytest --quiet -m registries tests/contract

lock: $(STAMP) ## Renew the locked requirements
	$(BIN)/python -m uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra embedded --extra parquet --extra traces --extra dev pyproject.toml --output-file requirements/dev.txt
	$(BIN)/python -m uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		benchmarks/requirements.in --output-file benchmarks/requirements.txt

clean: ## Remove what was built
	rm -rf $(VENV) target dist .mypy_cache .pytest_cache .ruff_cache
