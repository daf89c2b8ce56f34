"""Sound requests, from plain to as odd as the standards allow: a proxy that refuses one of these is too strict."""

from draft import Chunked, Draft, Length, Passes, Sent, Tolerated

METHODS = ["GET"] * 6 + ["POST"] * 4 + ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]
ODD_METHODS = [
    "PROPFIND",
    "REPORT",
    "M-SEARCH",
    "PURGE",
    "GETT",
    "FOO",
    "get",
    "Post",
    "X-!#$%&'*+.^_`|~",
    "A",
    "QUERY",
]
HOSTS = [
    "differential.test:80", "DIFFERENTIAL.Test", "differential.test.", "127.0.0.1", "127.0.0.1:8080", "[::1]",
    "[::1]:80",
    "xn--bcher-kva.test", "a-b.test", "1.2.3", "localhost",
]  # fmt: skip
PATHS = [
    "/", "//", "/p", "/p/", "/p//q", "/%70", "/p%20q", "/%2e%2e", "/p/%2f/q", "/p%5cq", "/p;v=1", "/p/..;/q", "/p/./q",
    "/p/../q", "/../p", "/p/%2e%2E/q", "/p%00q", "/p%0d%0aX-Session:%20forged", "/%e2%82%ac", "/%ff%fe", "/%", "/%zz",
    "/!$&'()*+,:@", "/~p._-", "/p[]|^", "/p{}\"", "/p\\q", "//differential.test/p", "/http://b.test/", "/p.php/q", "/*",
]  # fmt: skip
QUERIES = [
    "",
    "",
    "?",
    "?q=1",
    "?q=%zz",
    "?a=1&a=2&b[]=3",
    "?q=http://b.test/?x",
    "?a?b",
    "?/../",
    "?x={}|^[]`'",
    "?%00",
    "?;",
]
NAMES = [
    "X-Plain",
    "x-lower",
    "X-UPPER",
    "Accept",
    "Accept-Language",
    "User-Agent",
    "Referer",
    "Authorization",
    "Range",
]
ODD_NAMES = ["X", "X--Y", "X-", "-X", "X.Y", "X~Y", "X!#$%&'*+^`|", "X_Under", "_X", "1X", "Content-Language", "Vary"]
VALUES = [
    "y",
    "a, b",
    "a;b=c",
    '"quoted, text"',
    "tab\there",
    "a: b",
    "",
    "=",
    "x" * 300,
    "\xe9\x80\xff",
    "GET / HTTP/1.1",
]
SPOOFED = [
    "X-Session", "x_session", "X.Session", "X-Session-Update", "X_Session-Control", "X-Forwarded-For",
    "X_Forwarded_For",
    "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP", "X-Request-Id",
    "X_Request_Id",
    "Transfer_Encoding", "Content_Length", "Content.Length", "Proxy", "Proxy-Authorization", "X-Original-URL",
    "X-Rewrite-Url", "True-Client-IP", "Front-End-Https", "X-Scheme",
]  # fmt: skip
COOKIES = [
    "a=b",
    "c=d; e=f",
    "__Host-session=forged",
    "a=b; __Host-session=forged; c=d",
    "__host-session=x",
    'q="a;b"',
    "lone",
    "a=b;c=d",
]
CONNECTIONS = [
    "keep-alive",
    "X-Plain",
    "x-lower, keep-alive",
    "Host",
    "X-Session",
    "Cookie, X-Forwarded-For",
    "TE",
    "nonsense",
]
TRAILERS = [
    "X-Sum",
    "Server-Timing",
    "X-Session",
    "Content-Length",
    "Host",
    "X_Forwarded_For",
    "Transfer-Encoding",
    "Cookie",
]
EXTENSIONS = [";a", ";a=b", ' ;\ta = "q\\"x"', ";a;b=c;d", ';x="\xe9"']
INNER = b"GET /smuggled HTTP/1.1\r\nHost: differential.test\r\n\r\n"


def sound(random):
    """A request that must pass, and reach the application as it is due."""
    draft = Draft(method=random.choice(METHODS))
    draft.target = random.choice(PATHS[:8]) + random.choice(QUERIES[:4])
    draft.host_at, draft.framing_at = random.randrange(8), random.randrange(8)
    draft.fields = [field(random) for _ in range(random.randrange(5))]
    body(random, draft)
    twists = random.sample(TWISTS, random.choice([0, 0, 1, 1, 1, 2, 3]))
    for twist in twists:
        twist(random, draft)
    settle(draft)
    return Sent(draft.written(), Passes(draft), draft.method, "+".join(twist.__name__ for twist in twists) or "plain")


def field(random):
    return random.choice(NAMES), random.choice(["", " ", " ", "\t ", "   "]) + random.choice(VALUES) + random.choice(
        ["", "", " ", "\t"]
    )


def some_bytes(random):
    return random.choice([
        b"", b"x", b"a=1&b=2", b"0\r\n\r\n", INNER, b"\r\n" + INNER, bytes(range(256)),
        random.randbytes(random.randrange(2000)),
        random.randbytes(random.choice([8_192, 65_536]) + random.randrange(3)) if random.random() < 0.05 else b"{}",
    ])  # fmt: skip


def body(random, draft):
    likely = 0.9 if draft.method in ("POST", "PUT", "PATCH") else 0.15
    if random.random() > likely:
        return
    if random.random() < 0.5:
        draft.body = Length(some_bytes(random))
    else:
        draft.body = Chunked(chunks(random, some_bytes(random)))


def chunks(random, content):
    pieces = []
    while content:
        length = random.choice([1, 2, 3, 10, 16, 255, len(content)])
        size = random.choice(["{:x}", "{:X}", "{:04x}"]).format(len(content[:length]))
        pieces.append((size, content[:length]))
        content = (
            content[length:] if len(pieces) < 40 else pieces.append((f"{len(content[length:]):x}", content[length:]))
        )
    return [piece for piece in pieces if piece[1]]


def settle(draft):
    """Takes out what would contradict itself after several twists."""
    if draft.version == "1.0" and isinstance(draft.body, Chunked):
        draft.body = Length(draft.body.content)
    if draft.target.startswith("*"):
        draft.method, draft.target = "OPTIONS", "*"


# ---- what may be odd about a sound request, a function each


def odd_method(random, draft):
    draft.method = random.choice(ODD_METHODS)


def odd_host(random, draft):
    draft.host = random.choice(HOSTS)


def odd_path(random, draft):
    draft.target = random.choice(PATHS) + random.choice(QUERIES)


def long_target(random, draft):
    draft.target = "/" + "p" * random.choice([2_000, 8_000]) + "?" + "q" * random.choice([0, 7_000])


def fragment(random, draft):
    draft.target += random.choice(["#", "#f", "#/x?y"])


def absolute(random, draft):
    draft.target = "http://" + random.choice(HOSTS) + random.choice(["", "/", "/p", "/p//q?x", "?q=1"])


def asterisk(random, draft):
    draft.method, draft.target = "OPTIONS", "*"


def hops(random, draft):
    draft.method = random.choice(["OPTIONS", "GET"])
    draft.fields.append(("Max-Forwards", " " + random.choice(["1", "10", "070"])))


def odd_names(random, draft):
    draft.fields += [(random.choice(ODD_NAMES), " " + random.choice(VALUES)) for _ in range(random.randrange(1, 4))]


def twice(random, draft):
    name = random.choice(NAMES)
    draft.fields += [
        (random.choice([name, name.upper(), name.lower()]), f" {n}") for n in range(random.randrange(2, 4))
    ]


def many_fields(random, draft):
    draft.fields += [(f"X-{n}", f" {n}") for n in range(random.choice([60, 85]))]


def large_field(random, draft):
    draft.fields.append(("X-Large", " " + "y" * random.choice([4_000, 7_000])))


def spoofed(random, draft):
    draft.fields += [
        (name, " " + random.choice(["forged", "1.2.3.4", "7", "https"]))
        for name in random.sample(SPOOFED, random.randrange(1, 5))
    ]


def cookies(random, draft):
    draft.fields += [("Cookie", " " + random.choice(COOKIES)) for _ in range(random.choice([1, 1, 1, 2]))]


def connection(random, draft):
    draft.fields.append(("Connection", " " + random.choice(CONNECTIONS)))
    draft.fields += [
        (name, " here") for name in ("X-Plain", "x-lower", "Keep-Alive", "Proxy-Connection") if random.random() < 0.5
    ]


def transfer_codings(random, draft):
    draft.fields.append(("TE", " " + random.choice(["trailers", "gzip", "trailers, deflate;q=0.5", "Trailers"])))


def passed_before(random, draft):
    draft.fields.append(("Via", " " + random.choice(["1.1 a", "1.0 a, 1.1 b (c)", "1.1 cloakroom", ""])))


def wish(random, draft):
    draft.fields.append(
        ("Upgrade", " " + random.choice(["websocket", "h2c", "foo/1, h2c", "TLS/1.0", "HTTP/2.0, websocket"]))
    )
    draft.fields.append(("Connection", " " + random.choice(["upgrade", "Upgrade, HTTP2-Settings", "keep-alive"])))
    draft.fields.append(("HTTP2-Settings", " AAMAAABkAAQCAAAAAAIAAAAA"))


def expectation(random, draft):
    draft.fields.append(("Expect", " " + random.choice(["100-continue", "100-Continue"])))


def extensions(random, draft):
    if isinstance(draft.body, Chunked):
        draft.body.chunks = [(size + random.choice(EXTENSIONS), piece) for size, piece in draft.body.chunks]
        draft.body.end = random.choice(["0", "00", "0;a", '0;a="b"'])


def trailers(random, draft):
    draft.body = Chunked(chunks(random, some_bytes(random)))
    given = random.sample(TRAILERS, random.randrange(1, 4))
    draft.body.trailers = [(name, random.choice([" 1", "2 ", ""])) for name in given]
    if announced := random.sample(given, random.randrange(len(given) + 1)):
        draft.fields.append(("Trailer", " " + ", ".join(announced)))


def old(random, draft):
    draft.version, draft.host = "1.0", random.choice([None, "differential.test"])
    if random.random() < 0.6:
        draft.fields.append(("Connection", " keep-alive"))


def empty_lines(random, draft):
    draft.empty_lines = random.randrange(1, 5)


TWISTS = [
    odd_method, odd_host, odd_path, odd_path, long_target, fragment, absolute, asterisk, hops, odd_names, twice,
    many_fields,
    large_field, spoofed, spoofed, cookies, connection, transfer_codings, passed_before, wish, expectation, extensions,
    trailers, old, empty_lines,
]  # fmt: skip


def grey(random):
    """What the standards leave open: to refuse it is fine, to pass on anything but what is due is not."""
    draft = Draft(
        target=random.choice(
            ["/caf\xc3\xa9", "/p?\xc3\xa9", "/p?q='", "HTTP://differential.test/p", "http://a_b.test/", "/p?`"]
        )
    )
    return Sent(draft.written(), Tolerated(draft), draft.method, "grey")


def farewell(random):
    """A plain request after which the connection ends."""
    draft = Draft(target=f"/farewell?{random.randrange(10**9)}", fields=[("Connection", " close")])
    return Sent(draft.written(), Passes(draft), draft.method, "farewell")
