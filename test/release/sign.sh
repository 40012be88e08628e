#!/usr/bin/env bash
# Signs a release: SHA256SUMS.sig is the signature of SHA256SUMS, and provenance.intoto.jsonl the
# provenance in a signed DSSE envelope. docs/verify.md has the steps that verify them.
#
#   test/release/sign.sh DIRECTORY KEY
#
# KEY is a file with a private key, EC P-256 or RSA, in PEM, mode 0600, outside of the directory. Only
# openssl reads it; if it is encrypted, openssl asks for its password.
set -euo pipefail
refuse() {
  echo "sign: $*" >&2
  exit 1
}
dir=$(realpath "$1") key=$2
[ -f "$key" ] || refuse "$key: no such file; make a key with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE"
key=$(realpath "$key")
case $key in "$dir"/*) refuse "$key: the key is among the files that are published; move it" ;; esac
case $(stat -c %a "$key") in ?00) ;; *) refuse "$key: others may read it; run: chmod 600 $key" ;; esac

cd "$dir"
export LC_ALL=C
[ -f SHA256SUMS ] || refuse "$dir: no SHA256SUMS; run make release first"
sha256sum -- berth* | cmp -s - SHA256SUMS || refuse "$dir: SHA256SUMS does not fit the files beside it; empty the directory and run make release"
statement=$(echo berth_*_provenance.json)
[ -f "$statement" ] || refuse "$dir: want one berth_VERSION_provenance.json, found $statement"
grep -q '"gitCommit"' "$statement" || refuse "$statement: names no commit, because the checkout has changes; commit them and run make release"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl pkey -in "$key" -pubout -out "$work/release.pub" || refuse "$key: openssl cannot read it as a private key in PEM"

# sign FILE SIGNATURE
sign() {
  openssl dgst -sha256 -sign "$key" -out "$2" "$1" ||
    refuse "$key: openssl cannot sign with it; use a key of EC P-256 or RSA"
  openssl dgst -sha256 -verify "$work/release.pub" -signature "$2" "$1" >/dev/null
}
sign SHA256SUMS "$work/SHA256SUMS.sig"
# The bytes that DSSE signs: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
type=application/vnd.in-toto+json
{ printf 'DSSEv1 %d %s %d ' ${#type} $type "$(stat -c %s "$statement")" && cat "$statement"; } >"$work/signed"
sign "$work/signed" "$work/signature"
printf '{"payloadType":"%s","payload":"%s","signatures":[{"sig":"%s"}]}\n' \
  $type "$(base64 -w0 "$statement")" "$(base64 -w0 "$work/signature")" >"$work/provenance.intoto.jsonl"
install -m 0644 "$work/SHA256SUMS.sig" "$work/provenance.intoto.jsonl" .
echo "signed with the key whose public part has this SHA-256:" \
  "$(openssl pkey -pubin -in "$work/release.pub" -outform DER | sha256sum | cut -d' ' -f1)"
