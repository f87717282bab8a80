#!/bin/sh
# The pages in Chromium against a real server with invented people (scripts/browser/browser.mjs): every page each role can reach,
# judged by axe-core, at 1280 and 390 px; the main paths without a script and by keyboard.
#
# usage: scripts/browser.sh [folder for screenshots]
# Needs node, npm (and, the first time, its registry), chromium and a Japanese font. Says so and ends with 3 when one cannot be had.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
tools=$target/browser
for command in node npm chromium; do
    command -v "$command" > /dev/null || { echo "the pages are not looked at: $command is not installed" >&2; exit 3; }
done
mkdir -p "$tools"
cp scripts/browser/browser.mjs scripts/browser/package.json "$tools/"
if ! npm install --prefix "$tools" --silent --no-fund --no-audit > "$target/browser.log" 2>&1; then
    echo "the pages are not looked at: npm could not install (see $target/browser.log)" >&2
    exit 3
fi
# After `cargo test` it is there (with what the tests bring: another build of half of the crates is spared).
[ -n "${KIBAN_IS_BUILT:-}" ] || cargo build --quiet --workspace --bin kiban
folder=$(mktemp -d)
"$target/debug/kiban" demo --sandbox --people 200 --keep "$folder/sandbox" --port 18543 --public-port 19543 --desk-port 18580 > "$folder/demo.log" 2>&1 &
demo=$!
trap 'kill $demo 2> /dev/null || true; wait $demo 2> /dev/null || true; rm -rf "$folder"' EXIT
until grep -q 準備ができました "$folder/demo.log"; do
    kill -0 $demo 2> /dev/null || { cat "$folder/demo.log" >&2; exit 1; }
    sleep 1
done
CHROMIUM=$(command -v chromium) node "$tools/browser.mjs" "$folder/sandbox/certificates" \
    https://office.localhost:18543 https://portal.localhost:19543 "${1:-}"
