#!/usr/bin/env bash
# A private PostgreSQL (15 or later) for tests, on a unix socket in a folder of its own.
#   scripts/postgres-for-tests.sh start DIR   starts it (again) and prints the address for KIBAN_TEST_POSTGRES
#   scripts/postgres-for-tests.sh stop DIR    stops it
# Runs as user postgres when called by root, because PostgreSQL refuses root. fsync stays on: the store refuses less.
set -euo pipefail

usage() { echo "usage: $0 start|stop DIR" >&2; exit 2; }
[ $# -eq 2 ] || usage
action=$1
dir=$2
[ "${#dir}" -le 80 ] || { echo "the folder's path is too long for a unix socket: $dir" >&2; exit 2; }

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
if [ -z "$bin" ]; then
  found=$(command -v initdb || true)
  [ -n "$found" ] || { echo "initdb not found: install the package postgresql" >&2; exit 1; }
  bin=$(dirname "$found")
fi

as_postgres() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
  else
    "$@"
  fi
}

case $action in
  start)
    mkdir -p "$dir"
    if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; fi
    cd "$dir"
    if [ ! -e "$dir/data/PG_VERSION" ]; then
      as_postgres "$bin/initdb" -D "$dir/data" -U kiban -A trust -E UTF8 --locale=C --data-checksums >/dev/null
    fi
    if ! as_postgres "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; then
      as_postgres "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w \
        -o "-k '$dir' -c listen_addresses='' -c max_connections=200" start >/dev/null
    fi
    if [ -z "$(as_postgres "$bin/psql" -h "$dir" -U kiban -d postgres -Atc "SELECT 1 FROM pg_database WHERE datname = 'kiban'")" ]; then
      as_postgres "$bin/psql" -h "$dir" -U kiban -d postgres -qc 'CREATE DATABASE kiban'
    fi
    echo "postgres://kiban@localhost/kiban?host=$dir"
    ;;
  stop)
    cd /
    as_postgres "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null
    ;;
  *) usage ;;
esac
