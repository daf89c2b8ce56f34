"""Verifies Cloakroom's tokens with PyJWT.

    verify.py HS256 k1=keys/k1 k2=keys/k2                                    the keys that Cloakroom has, by their id
    verify.py ES256 http://127.0.0.1:9900/.well-known/jwks.json              or EdDSA: the public keys, asked for

Reads the values of X-Session from standard input, one a line, and says `ok {claims}` or `refused: reason`.
"""

import json
import os
import sys
from pathlib import Path

import jwt

ISSUER = os.environ.get("ISSUER", "cloakroom")  # token.issuer
AUDIENCE = os.environ.get("AUDIENCE", "app")  # our name in Cloakroom's configuration: [upstreams.app]


class Verifier:
    def __init__(self, algorithm, sources):
        self.algorithm = algorithm
        if algorithm == "HS256":
            pairs = (source.split("=", 1) for source in sources)
            # A key is the file's bytes, less one newline at the end.
            self.key = {kid: Path(path).read_bytes().removesuffix(b"\n") for kid, path in pairs}.__getitem__
        else:
            # Cloakroom says max-age=60. An unknown `kid` is looked for once more, but not more often than every 5 s:
            # otherwise whoever invents one makes us ask with every request.
            self.key = jwt.PyJWKClient(sources[0], lifespan=60, cooldown_duration=5, timeout=2).get_signing_key

    def claims(self, token):
        """What a token says, if it is Cloakroom's, for us, and still good. Otherwise raises PyJWTError or KeyError."""
        kid = jwt.get_unverified_header(token)["kid"]  # picks one of our own keys, and is good for nothing else
        verified = jwt.decode_complete(
            token,
            self.key(kid),
            algorithms=[self.algorithm],  # we choose it, not the token
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=5,
            options={"require": ["exp", "iss", "aud"]},
        )
        if verified["header"]["typ"] != "session+jwt":  # another kind of token, from the same keys
            raise jwt.InvalidTokenError("typ")
        return verified["payload"]


if __name__ == "__main__":
    verifier = Verifier(sys.argv[1], sys.argv[2:])
    for line in sys.stdin:
        try:
            print("ok", json.dumps(verifier.claims(line.rstrip("\n"))), flush=True)
        except (jwt.PyJWTError, KeyError) as error:
            print("refused:", type(error).__name__, flush=True)
