"""Requests that no careful server takes. Each says how it is refused, and whether the connection survives."""

from draft import Answered, Breaks, Chunked, Draft, Length, Sent
from sound import INNER

HOST = "Host: differential.test\r\n"
BAD = (400,)


def hostile(random):
    """One of them, with the bytes of a second request behind it where a server that is fooled would look for one."""
    kind = random.choice(KINDS)
    sent = kind(random)
    sent.about = f"{kind.__name__}: {sent.about}"
    return sent


def ends(head, after=b"", statuses=BAD, method="POST"):
    """Refused, and nothing behind it is read."""
    return Sent(head.encode("latin-1") + after, Answered(statuses, ends=True), method, head[:100])


def refused(method, target, fields, statuses=BAD):
    """Refused, though there is no doubt where it ends; after a fault of the client the connection ends all the same."""
    head = f"{method} {target} HTTP/1.1\r\n{fields}\r\n"
    return Sent(head.encode("latin-1"), Answered(statuses, ends=400 <= statuses[0] < 500), method, head[:100])


def two_framings(random):
    lines = ["Content-Length: 30\r\n", "Transfer-Encoding: chunked\r\n", "X: y\r\n"]
    random.shuffle(lines)
    return ends(f"POST /p HTTP/1.1\r\n{HOST}{''.join(lines)}\r\n", b"0\r\n\r\n" + INNER)


def lengths(random):
    value = random.choice([
        "3, 3", "3,4", "+3", "-1", "0x3", "3_0", "1 0", "", "3;", "03", "18446744073709551616", "3\x0b", "3.0", "\xb3",
        "3 3",
    ])  # fmt: skip
    return ends(f"POST /p HTTP/1.1\r\n{HOST}Content-Length: {value}\r\n\r\n", b"abc" + INNER)


def several_lengths(random):
    first, second = random.choice([(3, 3), (3, 4), (0, 43), (43, 0)])
    lines = f"Content-Length: {first}\r\nX: y\r\ncontent-length: {second}\r\n"
    return ends(f"POST /p HTTP/1.1\r\n{HOST}{lines}\r\n", b"abc" + INNER)


def codings(random):
    value = random.choice([
        "chunked, chunked", ",chunked", "chunked,", "chunked;q=1", '"chunked"', "identity", "gzip", "gzip, chunked",
        "xchunked",
        "chunked\x0b", "\x0bchunked", "\xa0chunked", "chunked, identity", "", "chunked x", "CHUNKED\x00",
    ])  # fmt: skip
    return ends(f"POST /p HTTP/1.1\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n", b"0\r\n\r\n" + INNER)


def coding_lines(random):
    lines = random.choice([
        "Transfer-Encoding : chunked\r\n", "Transfer-\r\nEncoding: chunked\r\n", "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding\t: chunked\r\n",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n", "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
    ])  # fmt: skip
    return ends(f"POST /p HTTP/1.1\r\n{HOST}{lines}\r\n", b"0\r\n\r\n" + INNER)


def old_chunks(random):
    kept = random.choice(["", "Connection: keep-alive\r\n"])
    return ends(f"POST /p HTTP/1.0\r\n{HOST}{kept}Transfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n" + INNER)


def line_ends(random):
    head = random.choice([
        "GET /p HTTP/1.1\nHost: a\n\n", "GET /p HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "GET /p HTTP/1.1\nHost: a\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\n\n", "GET /p HTTP/1.1\r\nHost: a\r\nX: y\rX-Session: forged\r\n\r\n",
        "\nGET /p HTTP/1.1\r\n",
        "\r\n\r\n\r\n\r\n\r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n", "GET /p HTTP/1.1\r\r\nHost: a\r\n\r\n",
    ])  # fmt: skip
    return ends(head, INNER, method="GET")


def folded(random):
    line = random.choice(
        ["X: y\r\n z\r\n", "X: y\r\n\tz\r\n", " X: y\r\n", "X: y\r\n \r\n z\r\n", "X-Session:\r\n forged\r\n"]
    )
    return ends(f"GET /p HTTP/1.1\r\n{HOST}{line}\r\n", INNER, method="GET")


def names(random):
    line = random.choice([
        "X y: z", "X : y", ": y", "X", "X\x00: y", "X\x01: y", "X\xe9: y", "(X): y", "X/Y: z", "X@Y: z", "X{}: y",
        "Host : b", '"X": y',
    ])  # fmt: skip
    return ends(f"GET /p HTTP/1.1\r\n{HOST}{line}\r\n\r\n", INNER, method="GET")


def controls(random):
    byte = chr(random.choice([0, 1, 8, 11, 12, 14, 31, 127]))
    at = random.choice([f"GET /p HTTP/1.1\r\n{HOST}X: y{byte}z\r\n\r\n", f"GET /p{byte}q HTTP/1.1\r\n{HOST}\r\n"])
    return ends(at, INNER, method="GET")


def request_lines(random):
    line = random.choice([
        "GET /p", "GET", "GET  /p HTTP/1.1", "GET\t/p HTTP/1.1", " GET /p HTTP/1.1", "GET /p HTTP/1.1 ",
        "GET /p HTTP/2.0", "GET /p http/1.1",
        "GET /p HTTP/1.2x", "GET /p x HTTP/1.1", "G\x00ET /p HTTP/1.1", "G\xc9T /p HTTP/1.1", "GET /p HTTP/01.1",
        "GET p q HTTP/1.1", "PING",
        "GET: /p HTTP/1.1", "GET /p HTTP/1.1, HTTP/1.1", "\x16\x03\x01\x02",
    ])  # fmt: skip
    return ends(f"{line}\r\n{HOST}\r\n", INNER, method="GET")


def large_heads(random):
    head, statuses = random.choice([
        (f"GET /{'p' * 40_000} HTTP/1.1\r\n{HOST}\r\n", (414,)),
        (f"GET /p HTTP/1.1\r\n{HOST}X: {'y' * 40_000}\r\n\r\n", (431,)),
        (f"GET /p HTTP/1.1\r\n{HOST}{'X: y' * 9_000}\r\n\r\n", (431,)),
        (f"GET /p HTTP/1.1\r\n{HOST}" + "X: y\r\n" * 100 + "\r\n", (431,)),
    ])  # fmt: skip
    return ends(head, INNER, statuses, "GET")


def hosts(random):
    fields = random.choice([
        "", "Host:\r\n", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n", "Host: a, b\r\n", "Host: u@a\r\n",
        "Host: a/b\r\n", "Host: a b\r\n",
        "Host: a:99999\r\n", "Host: a:x\r\n", "Host: [::1\r\n", "Host: caf\xe9\r\n", "Host: a..b\r\n", "Host: :80\r\n",
        "Host: %61\r\n",
    ])  # fmt: skip
    return refused(random.choice(["GET", "HEAD"]), "/p", fields)


def targets(random):
    target = random.choice([
        "p", "?p", "ftp://differential.test/p", "http://", "http:///p", "http://u@a/p", "http://a:99999/p",
        "file:///p", "a:80", "ws://a/p",
    ])  # fmt: skip
    return refused("GET", target, HOST)


def asterisks(random):
    return refused(random.choice(["GET", "POST", "HEAD"]), "*", HOST)


def traces(random):
    return refused("TRACE", "/p", HOST + "Cookie: __Host-session=x\r\n", (405,))


def tunnels(random):
    return refused("CONNECT", random.choice(["127.0.0.1:6379", "differential.test:80"]), HOST, (405,))


def expectations(random):
    return refused(
        "GET", "/p", HOST + random.choice(["Expect: 200-ok\r\n", "Expect: 100-continue, x\r\n", "Expect:\r\n"]), (417,)
    )


def loops(random):
    return refused("GET", "/p", HOST + "Via: " + ", ".join(["1.1 cloakroom"] * 8) + "\r\n", (508,))


def last_hop(random):
    return refused("OPTIONS", "/p", HOST + "Max-Forwards: 0\r\n", (204,))


def broken_chunks(random):
    """The head is sound and may be passed on; the body breaks the rules, and no application may take it for whole."""
    text = random.choice([
        "3;\nabc\r\n0\r\n\r\n", "3;a\nb\r\n0\r\n\r\n", "3\nabc\n0\n\n", "3;\rabc\r\n0\r\n\r\n",
        '3;a="\r\n"\r\nabc\r\n0\r\n\r\n', "3;\x00x\r\nabc\r\n0\r\n\r\n",
        "3;\r\nabc\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "3\r\nabc0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n",
        "-1\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n", "g\r\n",
        "3 \r\nabc\r\n0\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n", "fffffffffffffffff\r\n", "0\r\nX y: z\r\n\r\n",
        "0\r\nX\r\n\r\n", "0\r\nX: y\n\r\n", "3\r\nab\r\n0\r\n\r\n",
        "3;" + "a" * 2_000 + "\r\nabc\r\n0\r\n\r\n", "0\r\n X: y\r\n\r\n",
    ])  # fmt: skip
    good = "3\r\nyes\r\n" * random.choice([0, 0, 1, 3])
    draft = Draft("POST", f"/broken?{random.randrange(10**9)}", body=Chunked([]))
    head = draft.written().removesuffix(b"0\r\n\r\n")
    return Sent(head + (good + text).encode("latin-1") + INNER, Breaks(draft), "POST", repr(good + text)[:100])


KINDS = [
    two_framings, two_framings, lengths, lengths, several_lengths, codings, codings, coding_lines, old_chunks,
    line_ends, folded, names,
    controls, request_lines, large_heads, hosts, hosts, targets, asterisks, traces, tunnels, expectations, loops,
    last_hop,
    broken_chunks, broken_chunks, broken_chunks,
]  # fmt: skip


def cut_off(random):
    """A sound head whose body never comes to its end; the last of its connection."""
    whole = b"x" * random.randrange(3, 3_000)
    draft = Draft(random.choice(["POST", "PUT", "GET"]), f"/cut?{random.randrange(10**9)}", body=Length(whole))
    if random.random() < 0.5:
        draft.body = Chunked([(f"{len(whole):x}", whole)])
    head = len(draft.written()) - len(draft.body.written())
    cut = random.randrange(head + 1, len(draft.written()) - (1 if isinstance(draft.body, Length) else 0))
    about = f"cut off after {cut - head} bytes of its body"
    return Sent(draft.written()[:cut], Breaks(draft), draft.method, about, is_cut=True)
