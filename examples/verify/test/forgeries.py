"""Tokens that nobody may believe, made from a genuine one."""

import base64
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def encode(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def as_json(value):
    return encode(json.dumps(value).encode())


def key(algorithm, text):
    """A key of `cloakroom keys new`."""
    return text.removesuffix(b"\n") if algorithm == "HS256" else serialization.load_pem_private_key(text, None)


def stranger(algorithm):
    """A key that is not ours."""
    if algorithm == "HS256":
        return b"s" * 43
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def signature(key, signed, digest="sha256"):
    if isinstance(key, bytes):
        return hmac.digest(key, signed, digest)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signed)
    r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def sign(key, header, claims, digest="sha256"):
    signed = f"{as_json(header)}.{as_json(claims)}"
    return f"{signed}.{encode(signature(key, signed.encode(), digest))}"


def jwk(key):
    if isinstance(key, bytes):
        return {"kty": "oct", "k": encode(key)}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().public_bytes_raw())}
    point = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": encode(point.x.to_bytes(32, "big")), "y": encode(point.y.to_bytes(32, "big"))}


def tampered(token):
    """Each character changed in a bit that counts. (The last one of a part has bits that say nothing.)"""
    for at, character in enumerate(token):
        other = "A" if character == "." else ALPHABET[ALPHABET.index(character) ^ 32]
        yield token[:at] + other + token[at + 1 :]


def structures(token):
    header, claims, mac = token.split(".")
    other = {**json.loads(decode(claims)), "data": {"admin": True}}
    yield "an empty value", ""
    yield "one word", "token"
    yield "two dots", ".."
    yield "three words", "a.b.c"
    yield "no signature", f"{header}.{claims}."
    yield "two parts", f"{header}.{claims}"
    yield "four parts", f"{token}.{mac}"
    yield "five parts, as if encrypted", f"{header}.{claims}.{mac}.{claims}.{mac}"
    yield "the JSON serialisation", json.dumps({"protected": header, "payload": claims, "signature": mac})
    yield "two tokens in one value", f"{token}, {token}"
    yield "something else than ASCII", token.replace(".", "．")
    yield "a header that is a list", f"{as_json(['HS256'])}.{claims}.{mac}"
    yield "claims that are not those that were signed", f"{header}.{as_json(other)}.{mac}"


def algorithms(algorithm, key, header, claims):
    for name in "none", "None", "NONE", "":
        unsigned = f"{as_json({**header, 'alg': name})}.{as_json(claims)}"
        yield f"alg {name!r} without a signature", unsigned + "."
        yield f"alg {name!r} with one", f"{unsigned}.{encode(signature(key, unsigned.encode()))}"
    another = {"HS256": "HS512", "ES256": "ES384", "EdDSA": "Ed25519"}[algorithm]
    yield f"our key, but alg {another}", sign(key, {**header, "alg": another}, claims, "sha512")
    yield "our key, but no alg", sign(key, {name: header[name] for name in ("kid", "typ")}, claims)
    yield "alg in a list", sign(key, {**header, "alg": [algorithm]}, claims)
    if algorithm == "HS256":
        return
    public = key.public_key()
    formats = serialization.Encoding, serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(formats[0].PEM, formats[1])
    published = {**jwk(key), "kid": header["kid"], "alg": algorithm, "use": "sig"}
    for what, secret in {
        "PEM": pem,
        "PEM without its last newline": pem.rstrip(b"\n"),
        "DER": public.public_bytes(formats[0].DER, formats[1]),
        "JWK": json.dumps(published, separators=(",", ":")).encode(),
        "x": decode(published["x"]),
    }.items():
        yield f"HS256 with the public key ({what}) as its secret", sign(secret, {**header, "alg": "HS256"}, claims)


def keys(algorithm, ours, header, claims, publisher):
    own = stranger(algorithm)
    yield "a stranger's key", sign(own, header, claims)
    yield "a stranger's key, embedded as jwk", sign(own, {**header, "jwk": jwk(own)}, claims)
    unknown = {**header, "kid": "own"}
    yield "a stranger's key, embedded as jwk, with its own kid", sign(own, {**unknown, "jwk": {**jwk(own), "kid": "own"}}, claims)
    yield "a stranger's key at jku", sign(own, {**unknown, "jku": f"{publisher}/stranger"}, claims)
    yield "a stranger's key at x5u", sign(own, {**unknown, "x5u": f"{publisher}/stranger"}, claims)
    for kid in (
        "../../../../../../../../dev/null",
        "/dev/null",
        "k9' UNION SELECT 'secret' -- ",
        "k1\nok {}",
        "k1\0",
        "__proto__",
        "constructor",
        "",
        "k" * 8000,
    ):
        guess = {"HS256": b"secret" if "secret" in kid else b""}.get(algorithm, own)
        yield f"kid {kid[:40]!r}", sign(guess, {**header, "kid": kid}, claims)
    for kid in None, 1, True, ["k1"], {"k1": "k1"}:
        yield f"kid {kid!r}", sign(own, {**header, "kid": kid}, claims)
    yield "a stranger's key and no kid", sign(own, {name: header[name] for name in ("alg", "typ")}, claims)


def contents(key, header, claims):
    """Signed as they should be, so that only what they say is wrong."""

    def without(of, name):
        return {other: value for other, value in of.items() if other != name}

    now = int(time.time())
    yield "expired 10 s ago", sign(key, header, {**claims, "iat": now - 70, "exp": now - 10})
    yield "no exp", sign(key, header, without(claims, "exp"))
    yield "an exp that is no number", sign(key, header, {**claims, "exp": "tomorrow"})
    yield "another issuer", sign(key, header, {**claims, "iss": "cloakroom.example"})
    yield "no issuer", sign(key, header, without(claims, "iss"))
    yield "another audience", sign(key, header, {**claims, "aud": "application"})
    yield "no audience", sign(key, header, without(claims, "aud"))
    yield "an empty list of audiences", sign(key, header, {**claims, "aud": []})
    yield "typ JWT", sign(key, {**header, "typ": "JWT"}, claims)
    yield "typ at+jwt", sign(key, {**header, "typ": "at+jwt"}, claims)
    yield "no typ", sign(key, without(header, "typ"), claims)


def forgeries(algorithm, key, token, publisher):
    header, claims = (json.loads(decode(part)) for part in token.split(".")[:2])
    yield from structures(token)
    yield from algorithms(algorithm, key, header, claims)
    yield from keys(algorithm, key, header, claims, publisher)
    yield from contents(key, header, claims)


def expired(key, token, seconds):
    header, claims = (json.loads(decode(part)) for part in token.split(".")[:2])
    exp = int(time.time()) - seconds
    return sign(key, header, {**claims, "iat": exp - 60, "exp": exp})
