#!/bin/sh
# Makes docs/screens.md and its pictures anew: every kind of page of every role, at 1280 and 390 px, with invented people. What differs
# between roles is shown for each, the rest once. Run it where pages have changed, before a release.
#
# usage: scripts/screens.sh
# Needs what scripts/browser.sh needs, pngquant and cwebp (Debian: pngquant, webp).
set -eu
cd "$(dirname "$0")/.."
for command in pngquant cwebp; do
    command -v "$command" > /dev/null || { echo "$command is not installed" >&2; exit 3; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
scripts/browser.sh "$folder"
node scripts/browser/screens.mjs "$folder" docs
