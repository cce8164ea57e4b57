#!/usr/bin/env bash
# A device whose key is made by OpenSSL, with curl and nothing of ours: it enrols, and signs requests.
#
#   device.sh ORIGIN TOKEN-FILE METHOD PATH FOLDER
#
# It prints the statuses of the enrolment, of a first request, and of the same sent again.
set -euo pipefail
origin=$1 token=$(tr -d '\n' < "$2") method=$3 path=$4 folder=$5
base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
hex() { openssl dgst -sha256 -r | cut -d ' ' -f 1; }
sign() { openssl dgst -sha256 -sign "$folder/device.pem" | base64url; }
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]], end="")' "$1"; }

openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/device.pem" 2> "$folder/errors"
# The last 64 bytes of the public key are its two coordinates.
openssl pkey -in "$folder/device.pem" -pubout -outform DER | tail -c 64 > "$folder/point"
x=$(head -c 32 "$folder/point" | base64url) y=$(tail -c 32 "$folder/point" | base64url)
jwk="{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"$x\",\"y\":\"$y\"}"
thumbprint=$(printf '%s' "$jwk" | openssl dgst -sha256 -binary | base64url)

curl --silent --request POST --header "Authorization: Bearer $token" "$origin/device/challenge" > "$folder/challenge"
challenge=$(member challenge < "$folder/challenge")
signature=$(printf 'chio-device-enrollment-v1\n%s\n%s\n%s\n%s\n%s\n%s' "$origin" "$(member iss < "$folder/challenge")" \
    "$(member sub < "$folder/challenge")" "$(member session < "$folder/challenge")" "$challenge" "$thumbprint" | sign)
enrolled=$(curl --silent --output "$folder/enrolled" --write-out '%{http_code}' --header "Authorization: Bearer $token" \
    --json "{\"challenge\":\"$challenge\",\"jwk\":$jwk,\"name\":\"openssl\",\"signature\":\"$signature\"}" "$origin/device/enroll")
device=$(member device_id < "$folder/enrolled")

send() {
    at=$(date +%s) nonce=$1
    signature=$(printf 'chio-device-request-v1\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n' "$method" "$origin" "$path" \
        "$(printf '' | hex)" "$(printf '%s' "$token" | hex)" "$device" "$at" "$nonce" | sign)
    sent=(--silent --request "$method" --dump-header "$folder/head" --output "$folder/answer" --write-out '%{http_code}'
        --header "Authorization: Bearer $token" --header "X-Device-ID: $device" --header "X-PoP-Timestamp: $at"
        --header "X-PoP-Nonce: $nonce" --header "X-PoP-Signature: $signature" "$origin$path")
    first=$(curl "${sent[@]}")
}
send "$(openssl rand -hex 16)"
if grep -qi use_nonce "$folder/head"; then
    # Right after a start: once more, with a nonce that begins with the one that is given.
    given=$(grep -i '^dpop-nonce:' "$folder/head" | tr -d '\r' | cut -d ' ' -f 2)
    send "$given.$(openssl rand -hex 16)"
fi
again=$(curl "${sent[@]}")
printf '%s %s %s\n' "$enrolled" "$first" "$again"
