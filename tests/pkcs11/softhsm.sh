#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SoftHSM2 tokens in a folder of their own, for tests. Run it, or source it for the functions.
#   softhsm.sh missing                           says what is not installed and fails, or is silent
#   softhsm.sh new DIR                           makes DIR/softhsm2.conf; SOFTHSM2_CONF is to name it
#   softhsm.sh token DIR LABEL PIN               a new token
#   softhsm.sh key DIR LABEL PIN TYPE NAME ID [OPTION]...
#                                                a key pair in it: p256, p384, p521, rsa2048, rsa3072,
#                                                rsa4096, ed25519; NAME its label, ID its id in hex;
#                                                options of pkcs11-tool: --sensitive, --extractable
#   softhsm.sh import DIR LABEL PIN FILE NAME ID a private key (PKCS#8, PEM) and its public half
#   softhsm.sh write DIR LABEL PIN FILE NAME ID [OPTION]...
#                                                the same, with options of pkcs11-tool: --always-auth
#   softhsm.sh objects DIR LABEL PIN             lists the token's objects
#   softhsm.sh remove DIR                        removes a folder that `new` made
set -euo pipefail

: "${SM_SOFTHSM:=/usr/lib/softhsm/libsofthsm2.so}"
# The security officer has no part in the tests.
softhsm_so_pin=12345678

softhsm_missing() {
    local what=
    [ -e "$SM_SOFTHSM" ] || what="$SM_SOFTHSM"
    for tool in softhsm2-util pkcs11-tool; do
        command -v $tool >/dev/null || what="$what $tool"
    done
    [ -z "$what" ] && return
    echo "not installed:${what:+ }${what# } (tools/setup --test installs softhsm2 and opensc)"
    return 1
}

softhsm_new() { # dir
    mkdir -p "$1/tokens"
    printf '%s\n' "directories.tokendir = $1/tokens" "objectstore.backend = file" "log.level = ERROR" \
        "slots.removable = false" >"$1/softhsm2.conf"
}

softhsm_quietly() { # a command: its output is shown only when it fails
    local said
    said=$("$@" 2>&1) || { printf '%s: %s\n' "$1" "$said" >&2; return 1; }
}

softhsm_token() { # dir label pin
    SOFTHSM2_CONF=$1/softhsm2.conf softhsm_quietly softhsm2-util --init-token --free --label "$2" --pin "$3" \
        --so-pin $softhsm_so_pin
}

softhsm_key() { # dir label pin type name id [option]...
    local type
    case $4 in
        p256) type=EC:prime256v1 ;;
        p384) type=EC:secp384r1 ;;
        p521) type=EC:secp521r1 ;;
        rsa*) type=rsa:${4#rsa} ;;
        ed25519) type=EC:edwards25519 ;;
        *) echo "softhsm: unknown key type $4" >&2; return 2 ;;
    esac
    SOFTHSM2_CONF=$1/softhsm2.conf softhsm_quietly pkcs11-tool --module "$SM_SOFTHSM" --token-label "$2" --login \
        --pin "$3" --keypairgen --key-type "$type" --usage-sign --label "$5" --id "$6" "${@:7}"
}

softhsm_import() { # dir label pin file name id
    SOFTHSM2_CONF=$1/softhsm2.conf softhsm_quietly softhsm2-util --import "$4" --token "$2" --pin "$3" --label "$5" \
        --id "$6"
}

softhsm_write() { # dir label pin file name id [option]...
    local into=(env "SOFTHSM2_CONF=$1/softhsm2.conf" pkcs11-tool --module "$SM_SOFTHSM" --token-label "$2" --login --pin "$3"
        --label "$5" --id "$6" --write-object "$1/object.der")
    openssl pkey -in "$4" -outform DER -out "$1/object.der"
    softhsm_quietly "${into[@]}" --type privkey --usage-sign "${@:7}"
    openssl pkey -in "$4" -pubout -outform DER -out "$1/object.der"
    softhsm_quietly "${into[@]}" --type pubkey
    rm "$1/object.der"
}

softhsm_objects() { # dir label pin
    SOFTHSM2_CONF=$1/softhsm2.conf pkcs11-tool --module "$SM_SOFTHSM" --token-label "$2" --login --pin "$3" -O
}

softhsm_remove() { # dir
    [ ! -e "$1/softhsm2.conf" ] || rm -rf "$1"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    case ${1:-} in
        missing|new|token|key|import|write|objects|remove) "softhsm_$1" "${@:2}" ;;
        *) sed -n '3,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
fi
