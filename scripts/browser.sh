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
for command in node npm chromium openssl; do
    command -v "$command" > /dev/null || { echo "the pages are not looked at: $command is not installed" >&2; exit 3; }
done
mkdir -p "$tools"
cp scripts/browser/*.mjs scripts/browser/package.json crates/web/tests/provider/provider.mjs "$tools/"
if ! npm install --prefix "$tools" --silent --no-fund --no-audit > "$target/browser.log" 2>&1; then
    echo "the pages are not looked at: npm could not install (see $target/browser.log)" >&2
    exit 3
fi
# After `cargo test` it is there (with what the tests bring: another build of half of the crates is spared).
[ -n "${KIBAN_IS_BUILT:-}" ] || cargo build --quiet --workspace --bin kiban
folder=$(mktemp -d)
# Who a person is, an independent OpenID provider says, on loopback and with an authority of its own.
mkdir "$folder/provider"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=provider-ca -keyout "$folder/provider/ca.key" \
    -out "$folder/provider/ca.pem" 2> /dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout "$folder/provider/key.pem" 2> /dev/null |
    openssl x509 -req -days 1 -CA "$folder/provider/ca.pem" -CAkey "$folder/provider/ca.key" -CAcreateserial \
        -extfile scripts/browser/provider.ext -out "$folder/provider/cert.pem" 2> /dev/null
node "$tools/person.mjs" prepare "$folder/provider" 18590
"$target/debug/kiban" demo --sandbox --people 200 --keep "$folder/sandbox" --port 18543 --public-port 19543 --desk-port 18580 \
    --provider "$folder/provider/provider.json" > "$folder/demo.log" 2>&1 &
demo=$!
provider=
trap 'kill $demo $provider 2> /dev/null || true; wait $demo 2> /dev/null || true; rm -rf "$folder"' EXIT
until grep -q 準備ができました "$folder/demo.log"; do
    kill -0 $demo 2> /dev/null || { cat "$folder/demo.log" >&2; exit 1; }
    sleep 1
done
"$target/debug/kiban" export --home "$folder/sandbox" --insurer 999003 --to "$folder/people" --json > /dev/null
insured=$(echo "$folder"/people/*_INSURED_*.json)
# A disaster mode takes two operators at two terminals.
printf 'mihon-dake-no-aikotoba-2026\n' | "$target/debug/kiban" operate --home "$folder/sandbox" account operator second_operator \
    --name '見本 二葉' --job operator_staff > /dev/null
"$target/debug/kiban" ca issue --home "$folder/sandbox" --out "$folder" operator 2 > /dev/null
for end in crt key; do mv "$folder/operator-2.$end" "$folder/sandbox/certificates/second-operator.$end"; done
node "$tools/person.mjs" serve "$folder/provider" 18590 https://portal.localhost:19543/me/callback \
    "$insured" > "$folder/provider.log" 2>&1 &
provider=$!
until grep -q ready "$folder/provider.log"; do
    kill -0 $provider 2> /dev/null || { cat "$folder/provider.log" >&2; exit 1; }
    sleep 1
done
# Two to four minutes' work; a browser that hangs must end the run, not hold it.
CHROMIUM=$(command -v chromium) timeout --kill-after=10 1200 node "$tools/browser.mjs" "$folder/sandbox/certificates" \
    https://office.localhost:18543 https://portal.localhost:19543 "$insured" "${1:-}"
