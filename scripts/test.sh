#!/usr/bin/env bash
# Runs every test of the project: both databases, the exhaustive proof of the access decision, the demo, the kill test.
# On Debian it installs what it needs (PostgreSQL, strace, curl, node, npm, systemd-analyze, softhsm2, chromium and a Japanese font) when run as root; elsewhere it says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { # command package
  command -v "$1" >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/"$1" >/dev/null 2>&1 || missing+=("$2")
}
missing=()
need initdb postgresql
need strace strace
need setpriv util-linux
need curl curl
need openssl openssl
need node nodejs
need npm npm
need systemd-analyze systemd
need softhsm2-util softhsm2
need chromium chromium
[ -d /usr/share/fonts/opentype/noto ] || missing+=(fonts-noto-cjk)
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "not installed: ${missing[*]} (the tests that need them are skipped and say so)" >&2
  fi
fi

folder=$(mktemp -d /tmp/kiban-pg-XXXXXX)
cleanup() { scripts/postgres-for-tests.sh stop "$folder" >/dev/null 2>&1 || true; rm -rf "$folder"; }
trap cleanup EXIT
if address=$(scripts/postgres-for-tests.sh start "$folder"); then
  export KIBAN_TEST_POSTGRES="$address"
  echo "PostgreSQL: private instance started"
else
  echo "PostgreSQL leg skipped: no private instance could be started" >&2
  [ -z "${CI:-}" ] || exit 1
fi

cargo fmt --all --check
# The executable alone, as the README's first command builds it: nothing that only the tests bring may be needed.
cargo check --locked --quiet
cargo clippy --workspace --all-targets --quiet -- -D warnings
cargo test --workspace
export KIBAN_IS_BUILT=yes
# The description of the API against a real server; 3: there is no Python package index to install it from.
scripts/schemathesis.sh 5 || { [ $? -eq 3 ] && [ -z "${CI:-}" ]; }
# The pages in a real browser; 3: there is none here.
scripts/browser.sh || { [ $? -eq 3 ] && [ -z "${CI:-}" ]; }
