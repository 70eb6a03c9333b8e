# The way in, for people and for CI: each recipe is one thing a person wants, longer ones are a script of that name.
# `./just RECIPE` works without just being installed.

set positional-arguments
set shell := ["sh", "-eu", "-c"]

# List the recipes.
default:
    @{{ just_executable() }} --justfile {{ justfile() }} --list --unsorted

# Real model, real logs, in minutes: run the demo experiment and compare its arms. `--model FILE.gguf`: your model.
demo *ARGS:
    @ASSAY_FROM={{ invocation_directory() }} scripts/demo "$@"

# Kill the harness in the middle of the demo and let it finish, without asking the model twice.
demo-resume:
    @scripts/demo-resume

# What Grafana would get: the demo's runs, decoded by Grafana's own host library and printed as tables.
host-demo *ARGS:
    @scripts/host-demo "$@"

# The whole platform in containers, with its own logs as the data: Grafana at http://127.0.0.1:3000.
up:
    @scripts/up

# Stop it; `down -v` forgets its data too. Nothing starts, so that it asks for none of the passwords in .env.
down *ARGS:
    GRAFANA_PASSWORD=- GRAFANA_SECRET_KEY=- ASSAY_HASH_KEY=- docker compose down "$@"

# Every panel and alert rule of provisioning/ against sample stores, as Grafana would show and evaluate them.
provisioning *ARGS:
    @scripts/provisioning "$@"

# Everything that proves the product; ends with what was skipped and why.
test:
    @scripts/test

# Format, lints and documentation, warnings denied.
check:
    cargo fmt --check
    cargo clippy --quiet --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --locked

# Build the frontend into frontend/dist. `frontend check`: its format, lints, types and tests.
frontend *ARGS:
    @scripts/frontend "$@"

# Drive the built plugin in a real Chromium, on the demo's runs; an argument picks scenarios, `--grafana 12.0.0` a Grafana.
browser *ARGS:
    @scripts/browser "$@"

# The whole plugin in dist/, as Grafana loads it: frontend, backend, licence, README, changelog.
plugin:
    @scripts/plugin

# The plugin as an archive in packages/, with its SHA-256, checked as Grafana's validator would.
package:
    @scripts/package

# Licences, duplicates and origins of the dependencies; advisories where their database can be reached.
deny:
    @scripts/deny

# Check every released prompt against prompts.lock, and the golden datasets against their digests and rules.
golden-verify:
    @scripts/golden-verify

# Rewrite the snapshots from what the code prints now, and show the difference: read it before you commit it.
snapshots:
    INSTA_UPDATE=always cargo test --quiet --locked
    git diff --stat -- '*.snap'

# The numbers we defend, measured beside their targets: harness, memory, comparisons, data source. `bench plugin`: only those.
bench *ARGS:
    @scripts/bench "$@"

# Write the evaluation into docs/results.md from the store: the demo's newest runs, or those named (reference first).
results *RUNS:
    @scripts/results "$@"

# The digest against Python's drain3: lines/s, MB/s, memory, growth, as ratios in one run.
bench-digest *ARGS:
    @tests/digest-quality/bench-digest "$@"

# Grouping quality against ground truth, and the recall of decisive entries, against drain3 and simple sampling.
digest-quality *ARGS:
    @tests/digest-quality/digest-quality "$@"

# A second working tree ../NAME on a branch of that name, sharing the built dependencies.
worktree NAME:
    @scripts/worktree "$1"

# Forget what was fetched into .tools/.
clean-tools:
    rm -rf .tools
