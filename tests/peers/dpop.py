"""RFC 9449 by the Python client requests_oauth2client: the same as `dpop.mjs call`, with a token of its issuer.

    python dpop.py FOLDER ALG ISS AUD METHOD URL
"""

import json
import sys
import time
import uuid

import jwskate
import requests
from requests_oauth2client import DPoPKey, DPoPToken

folder, alg, iss, aud, method, url = sys.argv[1:]
with open(f"{folder}/issuer.json", encoding="utf-8") as file:
    issuer = jwskate.Jwk(json.load(file))
key = DPoPKey.generate(alg=alg)
now = int(time.time())
claims = {
    "iss": iss,
    "aud": aud,
    "sub": "alice",
    "scope": "orders.read orders.write",
    "iat": now,
    "exp": now + 300,
    "jti": str(uuid.uuid4()),
    "cnf": {"jkt": key.dpop_jkt},
}
token = str(jwskate.Jwt.sign(claims, issuer, typ="at+jwt"))
auth = DPoPToken(access_token=token, _dpop_key=key)
body = b'{"item":"tea"}' if method == "POST" else None


def ask():
    with requests.Session() as session:
        return session.request(method, url, data=body, auth=auth, headers={"Content-Type": "application/json"})


first = ask()
other = ask()
headers = {name: other.request.headers[name] for name in ("Authorization", "DPoP")}
again = requests.request(method, url, data=body, headers=headers)
print(json.dumps({"first": first.status_code, "other": other.status_code, "again": again.status_code, "text": other.text}))
