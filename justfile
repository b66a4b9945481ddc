# Short names for what is done often: `just` lists them. Each line can be typed without `just` as well.

default:
    @just --list

# What to run before each commit: format, lints, house rules, unit tests.
check:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cargo test --locked --lib --test tidy --test config

# Every test.
test:
    cargo test --locked --workspace

# The demo, once.
demo:
    cargo run --release -- demo --once

# Writes anew what tests compare with: reports about bad files, the schema, the map of the rooms, the list of providers.
renew:
    UPDATE_GOLDEN=1 cargo test --locked --test config --test tidy
    UPDATE_GOLDEN=1 cargo test --locked --test cli documents providers

# The whole judgement, as CI has it.
ci:
    bash .ci/run

# Known faults of dependencies, from the advisory database.
advisories:
    ADVISORIES=1 bash .ci/deny
