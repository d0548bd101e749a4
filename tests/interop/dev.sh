# SPDX-License-Identifier: Apache-2.0
# Sourced by the shell tests: a dev instance in a folder of its own, and small assertions.
set -euo pipefail
: "${SEALMILL:?the path of the program}"
dir=$(mktemp -d "${TMPDIR:-/tmp}/sealmill-interop.XXXXXX")
base=$((10000 + ($$ * 10) % 20000)) # below the ports that the kernel gives to clients
server=
checks=0

fail() { echo "FAILED: $*" >&2; tail -20 "$dir/log" >&2 || true; exit 1; }
check() { checks=$((checks + 1)); "$@" || fail "$*"; }
contains() { case $1 in *"$2"*) checks=$((checks + 1)) ;; *) fail "\"$2\" is not in: $1" ;; esac; }

start() {
    "$SEALMILL" dev --dir "$dir/ca" --port-base "$base" >>"$dir/log" 2>&1 &
    server=$!
    for _ in $(seq 300); do
        if curl -fs -o /dev/null "http://127.0.0.1:$((base + 3))/readyz"; then
            . "$dir/ca/env"
            return
        fi
        kill -0 "$server" 2>/dev/null || fail "the server did not start"
        sleep 0.1
    done
    fail "the server is not ready after 30 s"
}

stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" || fail "the server ended with status $?"; server=; }; }
end() {
    code=$?
    [ -z "$server" ] || { kill -9 "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    ! mountpoint -q "$dir/ca" || umount -l "$dir/ca"
    rm -rf "$dir"
    exit $code
}
trap end EXIT
csr() { # name, then what openssl's -newkey wants
    openssl req -new -newkey "${@:2}" -nodes -keyout "$dir/$1.key" -subj "/O=Acme/CN=$1" -addext "subjectAltName=DNS:$1.example.net" \
        -out "$dir/$1.csr" 2>/dev/null
}
ra() { curl -sS --cacert "$SEALMILL_CA_FILE" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY" "$@"; }
admin() { curl -sS --cacert "$SEALMILL_CA_FILE" --cert "$SEALMILL_ADMIN_CERT" --key "$SEALMILL_ADMIN_KEY" "$@"; }
