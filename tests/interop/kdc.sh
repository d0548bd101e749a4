# SPDX-License-Identifier: Apache-2.0
# Sourced by the tests of Negotiate behind dev.sh: a Kerberos KDC of two realms that trust each other, in the test's folder, on a port
# of its own. Nothing but 127.0.0.1 is asked.
PATH=$PATH:/usr/sbin
for program in krb5kdc kdb5_util kadmin.local kinit kvno; do
    command -v $program >/dev/null || { echo "skipped: $program is missing (tools/setup --test installs it)"; exit 77; }
done
curl -V | grep -qw GSS-API || { echo "skipped: this curl has no GSS-API"; exit 77; }
kdc=
realm=EST.TEST
other_realm=OTHER.TEST
export KRB5_CONFIG=$dir/krb5.conf KRB5_KDC_PROFILE=$dir/kdc.conf KRB5RCACHEDIR=$dir/rcache KRB5CCNAME=FILE:$dir/nobody.cc
mkdir "$dir/rcache"
cat >"$KRB5_CONFIG" <<CONF
[libdefaults]
    default_realm = $realm
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    clockskew = 10
[realms]
    $realm = {
        kdc = 127.0.0.1:$((base + 9))
    }
    $other_realm = {
        kdc = 127.0.0.1:$((base + 9))
    }
[domain_realm]
    localhost = $realm
CONF
{
    printf '[kdcdefaults]\n    kdc_listen = 127.0.0.1:%s\n    kdc_tcp_listen = 127.0.0.1:%s\n' $((base + 9)) $((base + 9))
    printf '[logging]\n    kdc = FILE:%s\n[realms]\n' "$dir/kdc.log"
    for r in $realm $other_realm; do
        printf '    %s = {\n        database_name = %s\n        key_stash_file = %s\n        acl_file = %s\n    }\n' \
            "$r" "$dir/$r.db" "$dir/$r.stash" "$dir/none.acl"
    done
} >"$KRB5_KDC_PROFILE"
principals() { # realm, then commands of kadmin
    local in=$1 command
    shift
    for command in "$@"; do kadmin.local -r "$in" -q "$command" >>"$dir/kadmin.log" 2>&1 || fail "kadmin.local: $command: $(tail -3 "$dir/kadmin.log")"; done
}
start_kdc() {
    for r in $realm $other_realm; do
        kdb5_util create -r $r -s -P master >>"$dir/kadmin.log" 2>&1 || fail "kdb5_util: $(tail -3 "$dir/kadmin.log")"
        principals $r "addprinc -pw between krbtgt/$realm@$other_realm" # the trust: the same key in both
    done
    krb5kdc -n -r $realm -r $other_realm -P "$dir/kdc.pid" >>"$dir/kdc.out" 2>&1 &
    kdc=$!
    for _ in $(seq 100); do
        if (: >"/dev/tcp/127.0.0.1/$((base + 9))") 2>/dev/null; then return; fi
        kill -0 $kdc 2>/dev/null || fail "the KDC did not start: $(tail -3 "$dir/kdc.out" "$dir/kdc.log")"
        sleep 0.1
    done
    fail "the KDC is not ready after 10 s"
}
stop_kdc() { [ -z "$kdc" ] || { kill $kdc 2>/dev/null || true; wait $kdc 2>/dev/null || true; kdc=; }; }
trap 'code=$?; stop_kdc; (exit $code); end' EXIT
ticket() { # principal, options of kinit: its tickets are the current ones
    KRB5CCNAME=FILE:$dir/${1//\//_}.cc
    rm -f "${KRB5CCNAME#FILE:}"
    kinit -k -t "$dir/clients.keytab" "${@:2}" "$1" 2>"$dir/kinit.log" || fail "kinit $1: $(cat "$dir/kinit.log")"
}
