# Everything that is done to this project by command. `./just` runs these recipes on a
# machine that has not even `just`; an installed `just` runs them as well.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

tools := justfile_directory() / ".tools/venv/bin"
target := env("CARGO_TARGET_DIR", justfile_directory() / "target")

# Everything is compiled with one feature set per dependency; naming this package in each
# build of a part keeps it that way, so that no dependency is ever compiled twice.
unify := "-p baetyl-unify"

# What there is to run.
[private]
default:
    @just --justfile "{{ justfile() }}" --list --unsorted

# Builds the program and starts the whole system: cloud, one node, functions, gateway.
up *args: build
    @exec "{{ target }}/debug/baetyl" up "$@"

# Runs every test; ends with the line "N passed, N failed", and how many were skipped.
test: setup build-all
    @cargo run --quiet -p xtask -- test

# Runs the README's tour as a script, from an empty data folder to the function's answer.
smoke: setup build
    @cargo build --quiet -p baetyl-benches {{ unify }}
    @BAETYL_PROGRAM="{{ target }}/debug/baetyl" BAETYL_TOOLS="{{ tools }}" "{{ target }}/debug/smoke"

# The scenarios of the engine for clusters, against the cluster of KUBECONFIG; see docs/kubernetes.md.
e2e *args:
    @cargo run --quiet -p baetyl-e2e {{ unify }} --bin e2e -- "$@"

# What continuous integration runs: checks in order of cost, then the tests.
ci: setup
    @cargo run --quiet -p xtask -- ci "{{ just_executable() }}"

# The warm loop for one crate: type-checks it with its tests.
check crate:
    @cargo check -p "$1" {{ unify }} --tests

# The warm loop for one crate: runs its tests, or those that a filter names.
try crate *args:
    @cargo test -p "$1" {{ unify }} "${@:2}"

# Formats code and contract in place.
fmt: setup
    @cargo fmt --all
    @"{{ tools }}/buf" format -w

# All that is checked without running our code, warnings being errors.
lint: fmt-check buf-lint tidy clippy

# Formatting of code and contract.
fmt-check: setup
    @cargo fmt --all --check
    @"{{ tools }}/buf" format -d --exit-code

# The contract's own rules, see buf.yaml.
buf-lint: setup
    @"{{ tools }}/buf" lint

# Rules that no compiler knows: directions between crates, sizes, names, orphans.
tidy:
    @cargo run --quiet -p xtask -- tidy

# Clippy over everything, warnings being errors.
clippy:
    @cargo clippy --quiet --workspace --all-targets -- -D warnings

# Writes the generated code of crates/proto from proto/. The result is committed.
gen: build-gen
    @"{{ target }}/debug/examples/gen"

# Fails when the committed generated code is not what proto/ gives.
gen-check: build-gen
    @rm -rf "{{ target }}/gen-check"
    @"{{ target }}/debug/examples/gen" "{{ target }}/gen-check"
    @diff -r "{{ target }}/gen-check" crates/proto/src/gen >/dev/null \
        || { echo "crates/proto/src/gen is not what proto/ gives: run ./just gen"; exit 1; }

# Compares the contract with the previous commit; see CONTRIBUTING on overruling it.
breaking: setup
    @cargo run --quiet -p xtask -- breaking "{{ tools }}/buf"

# Advisories need the network, so they are a run of their own: `cargo deny check advisories`.
# Bans, licences and sources of dependencies.
deny: setup
    @if [ -x "{{ tools }}/cargo-deny" ]; then \
        "{{ tools }}/cargo-deny" --log-level error check --hide-inclusion-graph bans licenses sources; \
    elif command -v cargo-deny >/dev/null; then \
        cargo deny --log-level error check --hide-inclusion-graph bans licenses sources; \
    else \
        echo "deny: skipped, cargo-deny is not installed (cargo install cargo-deny)"; \
    fi

# Lints the charts and proves that their schemas refuse unknown keys.
chart: setup
    @"{{ tools }}/python" xtask/charts.py charts/cloud charts/edge

# Writes the tables of docs/errors.md and docs/config.md from the sources.
docs:
    @cargo run --quiet -p xtask -- docs --write

# Tables, links and recipes in the documents, and the documentation of our own crates.
docs-check:
    @cargo run --quiet -p xtask -- docs
    @RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps

# Configuration commit to application: latency, a table.
bench-sync *args: release
    @BAETYL_PROGRAM="{{ target }}/release/baetyl" "{{ target }}/release/bench-sync" "$@"

# Direct calls beside calls through the proxy: CPU and ratios, a table.
bench-function *args: release
    @BAETYL_PROGRAM="{{ target }}/release/baetyl" "{{ target }}/release/bench-function" "$@"

# Memory of the services as separate processes, those of a node as devices have them, a table.
bench-footprint *args: release device
    @BAETYL_PROGRAM="{{ target }}/release/baetyl" BAETYL_DEVICE_PROGRAM="{{ target }}/dist/baetyl" \
        "{{ target }}/release/bench-footprint" "$@"

# Installs the tools that checks and tests use into .tools (once).
setup:
    @xtask/setup.sh

# Builds the program as tests and `up` use it.
build:
    @cargo build -p baetyl-cli {{ unify }}

# Builds every program with the features of the whole workspace: the system tests need the
# crash points in it, and find it beside themselves.
build-all:
    @cargo build --workspace --bins

# Builds the program and the benchmarks with optimisation.
release:
    @cargo build --release -p baetyl-cli -p baetyl-benches {{ unify }}

# The program for devices, as target/dist/baetyl: without the control plane, and small.
device:
    @cargo build --profile dist -p baetyl-cli --no-default-features --features kube

[private]
build-gen:
    @cargo build --quiet -p baetyl-proto {{ unify }} --example gen
