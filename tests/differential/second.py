"""HTTP/2: a client that sends what it is told, requests that are sound, and malformed ones (RFC 9113 §8)."""

import dataclasses
import socket

import h2.config
import h2.connection
import h2.events
from draft import Answered, Breaks, Chunked, Draft, Length, Passes
from sound import COOKIES, HOSTS, PATHS, QUERIES, SPOOFED, VALUES, some_bytes
from wire import Answer, Ended

OVER = h2.events.StreamEnded | h2.events.StreamReset
METHODS = ["GET", "GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "REPORT"]


@dataclasses.dataclass
class Sent2:
    """One request: its fields as they are sent, its body in one piece, and what shall become of it."""

    fields: list
    body: bytes | None
    trailers: list
    verdict: Passes | Answered | Breaks
    about: str
    is_cut: bool = False

    @property
    def raw(self):
        return repr((self.fields, self.body and self.body[:80], self.trailers)).encode()

    @property
    def method(self):
        return next((value for name, value in self.fields if name == ":method"), "")


class Connection2:
    """One connection; one request after the other."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        config = h2.config.H2Configuration(
            header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.state = h2.connection.H2Connection(config)
        self.events = []
        self.state.initiate_connection()
        self.flush()

    def close(self):
        self.socket.close()

    def flush(self):
        try:
            self.socket.sendall(self.state.data_to_send())
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Ended(b"") from error

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Ended(b"")
        self.events.extend(self.state.receive_data(data))
        self.flush()

    def ask(self, sent):
        """The answer; None if the stream was reset.

        Raises [`Ended`] if the connection is over."""
        stream = self.state.get_next_available_stream_id()
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.fields]
        self.state.send_headers(stream, encoded, end_stream=sent.body is None)
        if sent.body is not None:
            self.send_body(stream, sent)
        self.flush()
        return self.read_answer(stream)

    def send_body(self, stream, sent):
        self.flush()
        left = sent.body
        while left or not sent.trailers:
            room = min(self.state.local_flow_control_window(stream), self.state.max_outbound_frame_size)
            if left and not room:
                self.receive()
                if any(isinstance(event, OVER) and event.stream_id == stream for event in self.events):
                    return
                continue
            piece, left = left[:room], left[room:]
            self.state.send_data(stream, piece, end_stream=not left and not sent.trailers)
            self.flush()
            if not left:
                break
        if sent.trailers:
            self.state.send_headers(stream, [(n.encode(), v.encode()) for n, v in sent.trailers], end_stream=True)

    def read_answer(self, stream):
        status, fields, body = 0, {}, b""
        while True:
            while self.events:
                match event := self.events.pop(0):
                    case h2.events.ResponseReceived(stream_id=id) if id == stream:
                        fields = dict(event.headers)
                        status = int(fields[":status"])
                    case h2.events.DataReceived(stream_id=id) if id == stream:
                        body += event.data
                        self.state.acknowledge_received_data(event.flow_controlled_length, stream)
                    case h2.events.StreamEnded(stream_id=id) if id == stream:
                        self.flush()
                        return Answer("HTTP/2", status, fields, body)
                    case h2.events.StreamReset(stream_id=id) if id == stream:
                        return Answer("HTTP/2", status, fields, body) if status else None
                    case h2.events.ConnectionTerminated():
                        raise Ended(b"")
            self.flush()
            self.receive()


def pseudo(method="GET", path="/", authority="differential.test"):
    return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]


def sound2(random):
    draft = Draft(random.choice(METHODS), random.choice(PATHS) + random.choice(QUERIES), "2.0", random.choice(HOSTS))
    if not draft.target.startswith("/"):
        draft.target = "/"
    names = ["x-plain", "accept", "user-agent", "x_under", "authorization", "x-empty"]
    draft.fields = [(random.choice(names), random.choice(VALUES).strip(" \t")) for _ in range(random.randrange(5))]
    draft.fields += [("cookie", random.choice(COOKIES)) for _ in range(random.randrange(4))]
    draft.fields += [
        (name.lower(), "forged")
        for name in random.sample(SPOOFED, random.randrange(3))
        if name.lower() != "proxy-connection"
    ]
    draft.fields += [("te", "trailers")] * random.randrange(2)
    content = random.choice([None, None, some_bytes(random)])
    trailers = []
    if content is not None and random.random() < 0.5:
        draft.body = Length(content)
    elif content is not None:
        draft.body = Chunked([("", content)])
        if random.random() < 0.4:
            trailers = [("x-sum", "1"), ("x-session", "forged")]
            draft.body.trailers = trailers
            draft.fields.append(("trailer", "x-sum, x-session"))
    fields = pseudo(draft.method, draft.target, draft.host) + draft.fields
    if isinstance(draft.body, Length):
        fields.append(("content-length", str(len(content))))
    return Sent2(fields, content, trailers, Passes(draft), "sound2")


MALFORMED = [
    pseudo() + [("X-Upper", "y")], pseudo() + [("connection", "close")], pseudo() + [("transfer-encoding", "chunked")],
    pseudo() + [("upgrade", "websocket")], pseudo() + [("keep-alive", "1")], pseudo() + [("proxy-connection", "close")],
    pseudo() + [("te", "gzip")], pseudo()[1:], pseudo()[:3], pseudo() + [(":method", "POST")], pseudo() + [(":path",
    "/b")],
    [("x-plain", "y"), *pseudo()], pseudo() + [(":evil", "y")], pseudo(path=""), pseudo() + [("x-plain",
    "y\nx-session: forged")],
    pseudo() + [("x-plain", "y\r\nx: z")], pseudo() + [("x-plain", "y\0z")], pseudo() + [("x plain", "y")],
    pseudo() + [("x:plain", "y")],
    pseudo() + [("", "y")], pseudo() + [("host", "other.test")], pseudo(authority="u@a"), pseudo(authority="a, b"),
    pseudo(authority=""),
    pseudo(path="p"), pseudo(path="/p q"), pseudo(path="/p HTTP/1.1\r\nX: y"), pseudo(path="/p\0"),
    pseudo(method="G T"),
    pseudo(method="CONNECT"), pseudo(method="TRACE"), pseudo(method="GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET"),
    pseudo(path="*"), pseudo() + [("content-length", "3")], pseudo() + [("content-length", "-1")],
    pseudo() + [("content-length", "3, 3")],
    pseudo() + [("content-length", "0"), ("content-length", "5")], pseudo() + [("x-many", "y")] * 120,
    pseudo(path="/" + "p" * 40_000),
]  # fmt: skip


def hostile2(random):
    if random.random() < 0.25:
        said, content = random.choice([("3", b"abcde"), ("10", b"abc"), ("0", b"GET /smuggled HTTP/1.1\r\n\r\n")])
        draft = Draft("POST", f"/length?{random.randrange(10**9)}", "2.0")
        fields = pseudo("POST", draft.target) + [("content-length", said)]
        return Sent2(fields, content, [], Breaks(draft), f"content-length {said} for {len(content)} bytes")
    fields = random.choice(MALFORMED)
    return Sent2(fields, None, [], Answered((400, 405, 413, 414, 431, 404), ends=None), f"malformed: {fields!r:.300}")
