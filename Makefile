# The project's commands. On a fresh machine with Python (3.11 or newer) and make, each of them installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv
UV_VERSION := 0.13.9
ONCE ?= 0
STORE ?= sqlite
# Many tests wait for real servers and use no processor meanwhile. Each tester has servers of its own, a Kafka among them.
TESTERS ?= 4
PYTEST := $(BIN)/python -m pytest

.PHONY: help venv demo test check quick lint bench replay-check soak fuzz lock proto wasm wasm-verify test-kubernetes clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

venv: $(VENV)/.ready ## A virtual environment with the pinned dependencies and the project itself

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: venv ## The whole of it on this machine: real Envoys, a model server, the collector (ONCE=1: check and end; STORE=postgres|kafka)
	$(BIN)/meshscribe demo --store $(STORE) $(if $(filter 1,$(ONCE)),--once)

test: lint ## Static checks, unit, property, mesh and fault tests, TESTERS=4 files at a time; CI also rebuilds the filter (.ci/run)
	$(PYTEST) -q -n $(TESTERS) -m "not soak" --durations=25

check: venv ## Static checks and, beside them, the fast tests only, without Envoy, databases, brokers and browsers; property tests try a tenth
	@$(MAKE) --no-print-directory -j2 lint quick

quick: venv
	$(PYTEST) -q -n auto -m "not slow and not soak and not mesh" --hypothesis-profile=quick --durations=10

lint: venv ## Format, lint, types, import rules
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

bench: venv ## Measures, prints ratios from one run, writes tests/bench/results/*.json
	$(BIN)/python -m tests.bench

replay-check: venv ## Does the code make the same events of a recorded journal as before? (AGAINST=commit: field by field)
	$(BIN)/python -m tests.replay_check check $(if $(AGAINST),--against $(AGAINST))

soak: venv ## The long forms of the load and fault tests
	$(PYTEST) -m soak

fuzz: venv ## More fuzzing of the decoders and receivers, and of the running process
	$(BIN)/python -m tests.fuzz --messages $${MESHSCRIBE_FUZZ_MESSAGES:-200000}
	$(BIN)/python -m tests.fuzz.readers --bytes $${MESHSCRIBE_FUZZ_READER_BYTES:-50000000}
	MESHSCRIBE_FUZZ_BYTES=$${MESHSCRIBE_FUZZ_BYTES:-500000000} $(PYTEST) tests/decode tests/receive -k "fuzz or any" --timeout 3600

lock: venv ## Pins every dependency anew (versions and hashes, no addresses)
	$(BIN)/uv pip compile --quiet --universal --all-extras --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements.lock

proto: venv ## Generates the Python code of messages/tap.proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. collector/messages/tap.proto

wasm: ## Builds the tap filter anew (installs Debian's Rust packages where they are missing)
	$(MAKE) -C wasm-config wasm

wasm-verify: ## Checks that the committed tap.wasm fits its source
	$(MAKE) -C wasm-config verify

test-kubernetes: venv ## The watch against a real kube-apiserver and etcd, which are built first (about 10 minutes)
	MESHSCRIBE_KUBERNETES=real $(PYTEST) tests/kubernetes

clean: ## Removes what the other commands made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist data
