#!/bin/sh
# A private PostgreSQL (15 or later, from Debian's package) for the tests, in a folder of its own, on a unix socket only.
#
#   scripts/postgres-for-tests.sh start DIR   starts it and prints its address
#   scripts/postgres-for-tests.sh stop DIR    stops it and removes DIR
#   export KIBAN_TEST_POSTGRES=$(scripts/postgres-for-tests.sh start /tmp/kiban-pg)
#
# Started twice it answers with the same address. As root the server runs as the user postgres. fsync stays on: the store
# refuses a server that may lose a commit.
set -eu

usage() { sed -n '4,6s/^# *//p' "$0" >&2; exit 2; }
fail() { echo "postgres-for-tests: $*" >&2; exit 1; }

[ $# -eq 2 ] || usage
command=$1
case $2 in /*) dir=$2 ;; *) dir=$PWD/$2 ;; esac
data=$dir/data socket=$dir/s log=$dir/log marker=$dir/kiban-test-postgres

newest_bin() {
    for bin in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -nr) "$(dirname "$(command -v initdb || echo /none/initdb)")"; do
        [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] && { echo "$bin"; return; }
    done
    fail "PostgreSQL is not installed: apt-get install postgresql"
}

bin=$(newest_bin)
version=$("$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
[ "$version" -ge 15 ] || fail "PostgreSQL $version is too old, 15 or later is needed"

as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        "$@"
    fi
}

running() { [ -d "$data" ] && (cd / && as_server "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1); }

address() { echo "postgres://kiban@localhost/kiban?host=$socket"; }

start() {
    # The path of a unix socket is limited to 107 bytes.
    [ "$(printf %s "$socket/.s.PGSQL.5432" | wc -c)" -le 100 ] || fail "the path is too long for a socket: $socket"
    if ! running; then
        [ ! -e "$dir" ] || [ -e "$marker" ] || [ -z "$(ls -A "$dir")" ] || fail "$dir is not empty and not ours"
        mkdir -p "$dir" "$socket"
        : > "$marker"
        [ "$(id -u)" -ne 0 ] || chown -R postgres: "$dir"
        cd /
        if [ ! -s "$data/PG_VERSION" ]; then
            rm -rf "$data"
            as_server "$bin/initdb" -D "$data" -U kiban -A trust -E UTF8 --locale=C --data-checksums >"$log.initdb" 2>&1 ||
                { cat "$log.initdb" >&2; fail "initdb failed"; }
        fi
        as_server "$bin/pg_ctl" -D "$data" -w -t 60 -l "$log" \
            -o "-k '$socket' -h '' -c max_connections=400 -c shared_buffers=128MB" start >/dev/null ||
            { cat "$log" >&2; fail "the server did not start"; }
    fi
    cd /
    as_server "$bin/psql" -h "$socket" -U kiban -d postgres -Atc "SELECT 1 FROM pg_database WHERE datname = 'kiban'" | grep -q 1 ||
        as_server "$bin/createdb" -h "$socket" -U kiban kiban
    address
}

stop() {
    [ -e "$dir" ] || return 0
    [ -e "$marker" ] || fail "$dir was not made by this script"
    cd /
    ! running || as_server "$bin/pg_ctl" -D "$data" -w -m fast stop >/dev/null
    rm -rf "$dir"
}

case $command in
    start) start ;;
    stop) stop ;;
    *) usage ;;
esac
