"""What the application must be given of a sound request, written from the contract (sections 2, 4, 7), not from code.

The two fields that cannot be foretold, the token and the request id, are left to whoever compares.
"""

import dataclasses

from draft import Chunked, Length

OURS = ("x-session", "x-session-update", "x-session-control")
CLAIMS = (
    "forwarded", "x-forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "x-original-url",
    "x-rewrite-url", "x-original-host", "x-scheme", "x-url-scheme", "front-end-https",
)  # fmt: skip
# What CGI, WSGI and PHP would read as a field that frames, or that concerns one connection only.
LOOK_ALIKES = (
    "transfer-encoding", "content-length", "keep-alive", "proxy-connection", "proxy-authorization", "x-request-id",
)  # fmt: skip
ONE_HOP = (
    "connection", "keep-alive", "proxy-connection", "te", "upgrade", "transfer-encoding", "proxy-authorization",
    "http2-settings", "proxy", "x-request-id",
)  # fmt: skip
# What `Connection` cannot take away.
END_TO_END = (
    "host", "cookie", "set-cookie", "authorization", "content-length", "content-type", "content-encoding",
    "cache-control", "vary", "via", "x-request-id", "transfer-encoding",
)  # fmt: skip
NOT_IN_TRAILERS = (
    "age", "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-range",
    "content-type", "cookie", "date", "expect", "expires", "host", "keep-alive", "location", "max-forwards", "pragma",
    "proxy", "proxy-authenticate", "proxy-authorization", "proxy-connection", "range", "retry-after", "set-cookie",
    "te", "trailer", "transfer-encoding", "upgrade", "vary", "via", "warning", "www-authenticate",
)  # fmt: skip
COOKIE = "__Host-session"


@dataclasses.dataclass
class Due:
    method: str
    target: str
    fields: list
    body: bytes
    trailers: list

    def field(self, name):
        return [value for line, value in self.fields if line == name]


def folded(name):
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())


def is_ours(name):
    return folded(name) in OURS


def is_claim(name):
    return folded(name) in CLAIMS or folded(name).startswith("x-forwarded-")


def is_look_alike(name):
    return name.lower() != folded(name) and folded(name) in LOOK_ALIKES


def is_banned_trailer(name):
    return name.lower() in NOT_IN_TRAILERS or is_ours(name) or is_claim(name) or is_look_alike(name)


def without_ticket(line):
    """A `Cookie` line without our own cookies; None if nothing is left."""
    pieces = line.split(";")
    ours = [piece.partition("=")[1] and piece.partition("=")[0].strip(" \t") == COOKIE for piece in pieces]
    if not any(ours):
        return line
    kept = [piece for piece, own in zip(pieces, ours) if not own]
    if not any(piece.strip(" \t") for piece in kept):
        return None
    if ours[0]:
        kept[0] = kept[0].lstrip(" \t")
    return ";".join(kept)


def place(draft):
    """The host and the target in origin form."""
    scheme, absolute, rest = draft.target.partition("://")
    if not absolute or not scheme.isalpha():
        return draft.host, draft.target.partition("#")[0]
    rest = rest.partition("#")[0]
    ends = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    host, path = (rest[: min(ends)], rest[min(ends) :]) if ends else (rest, "/")
    return host, path if path.startswith("/") else f"/{path}"


def forwarded(host):
    quoted = host if all(letter.isalnum() or letter in "-._~" for letter in host) else f'"{host}"'
    return f"for=127.0.0.1;host={quoted};proto=http" if host else "for=127.0.0.1;proto=http"


def survives(name, draft, named):
    """Whether a field of the client reaches the application at all."""
    if is_ours(name) or is_claim(name) or is_look_alike(name) or name in ONE_HOP or name == "host":
        return False
    return name not in named or name in END_TO_END


def changed(name, value):
    """The values that the application gets for one that the client sent."""
    if name == "cookie":
        left = without_ticket(value)
        return [] if left is None else [left]
    if name == "trailer":
        names = [element.strip(" \t") for element in value.split(",")]
        left = ", ".join(element for element in names if element and not is_banned_trailer(element))
        return [left] if left else []
    return [value]


def due(draft, own_host):
    """What must arrive; `own_host` is the application's own address, for requests that name no host."""
    named = {option.lower() for option in draft.lists("connection")}
    host, target = place(draft)
    body = draft.body.content if draft.body else b""
    trimmed = [(name.lower(), value.strip(" \t")) for name, value in draft.fields]
    crumbs = [value for name, value in trimmed if name == "cookie"]
    if draft.version == "2.0" and crumbs:
        trimmed = [field for field in trimmed if field[0] != "cookie"] + [("cookie", "; ".join(crumbs))]
    fields = [
        (name, left)
        for name, value in trimmed
        if survives(name, draft, named) and name not in ("via", "expect", "max-forwards")
        for left in changed(name, value)
    ]
    if any(coding.lower() == "trailers" for coding in draft.lists("te")):
        fields.append(("te", "trailers"))
    fields += [("max-forwards", hops) for hops in forwards(draft)]
    if draft.says("expect") and draft.version == "1.1" and (isinstance(draft.body, Chunked) or body):
        fields.append(("expect", draft.says("expect")[0]))
    if protocol := upgrade(draft):
        fields += [("connection", "upgrade"), ("upgrade", protocol)]
    fields += framing(draft)
    fields.append(("via", ", ".join([*filter(None, draft.says("via")), f"{draft.version} cloakroom"])))
    fields += [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http"), ("forwarded", forwarded(host or ""))]
    fields += [("x-forwarded-host", host)] if host else []
    fields.append(("host", host or own_host))
    return Due(draft.method, target, fields, body, trailers(draft, fields))


def forwards(draft):
    values = draft.says("max-forwards")
    counts = draft.method == "OPTIONS" and len(values) == 1 and values[0].isdigit() and int(values[0]) < 2**32
    return [str(int(values[0]) - 1)] if counts else values


def upgrade(draft):
    """The protocols that the application is asked to switch to."""
    bodyless = not draft.body or (not isinstance(draft.body, Chunked) and not draft.body.content)
    wishes = "upgrade" in (option.lower() for option in draft.lists("connection"))
    if draft.method != "GET" or draft.version != "1.1" or not bodyless or not wishes:
        return None
    refused = ("h2c", "h2", "http", "tls")
    return ", ".join(protocol for protocol in draft.lists("upgrade") if protocol.lower().split("/")[0] not in refused)


def framing(draft):
    match draft.body:
        case None:
            return []
        case Length(content=b"") if draft.version == "2.0":  # what is announced as nothing may still be something
            return [("transfer-encoding", "chunked")]
        case Chunked():
            return [("transfer-encoding", "chunked")]
        case _:
            return [("content-length", str(len(draft.body.content)))]


def trailers(draft, fields):
    """Those of the trailers that were announced and may be."""
    announced = [name.strip(" ").lower() for line, value in fields if line == "trailer" for name in value.split(",")]
    given = draft.body.trailers if isinstance(draft.body, Chunked) else []
    return [
        (name.lower(), value.strip(" \t"))
        for name, value in given
        if name.lower() in announced and not is_banned_trailer(name)
    ]
