"""A client that writes bytes as it is told, in pieces, and reads answers by the book."""

import dataclasses
import socket
import time


class Ended(Exception):
    """The connection ended where an answer should have begun (`partial` is empty), or within one."""

    def __init__(self, partial):
        super().__init__(f"the connection ended after {partial!r}" if partial else "the connection ended")
        self.partial = partial


@dataclasses.dataclass
class Answer:
    version: str
    status: int
    fields: dict
    body: bytes

    def field(self, name):
        return self.fields.get(name, "")

    @property
    def ends(self):
        """Whether it says that the connection ends."""
        return self.field("connection") == "close" or (
            self.version == "HTTP/1.0" and self.field("connection") != "keep-alive"
        )

    @property
    def from_application(self):
        return self.field("x-served") == "yes"

    @property
    def from_proxy(self):
        """Made by the proxy itself: as a problem, or (before there is a request) without even an id."""
        return b"urn:cloakroom:error:" in self.body or "x-request-id" not in self.fields or self.is_bare_refusal

    @property
    def is_bare_refusal(self):
        return self.field("content-type") == "application/problem+json" or (
            self.status == 204 and "allow" in self.fields
        )

    def __str__(self):
        return f"{self.status} {self.body[:200]!r}"


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""

    def close(self):
        self.socket.close()

    def write(self, pieces, pause):
        """Writes piece by piece. A proxy that has refused reads no more: that is seen in its answers."""
        for piece in pieces:
            try:
                self.socket.sendall(piece)
            except OSError:
                return
            if pause:
                time.sleep(pause)

    def end_writing(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def read_more(self):
        try:
            more = self.socket.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more:
            raise Ended(self.held)
        self.held += more

    def read_to(self, end):
        while end not in self.held:
            self.read_more()
        text, _, self.held = self.held.partition(end)
        return text

    def read_exactly(self, length):
        while len(self.held) < length:
            self.read_more()
        content, self.held = self.held[:length], self.held[length:]
        return content

    def read_answer(self, method):
        """The next final answer to a request with this method."""
        while True:
            head = self.read_to(b"\r\n\r\n").decode("latin-1").split("\r\n")
            version, status, *_ = head[0].split(" ")
            if version not in ("HTTP/1.1", "HTTP/1.0") or not status.isdigit():
                raise Ended(head[0].encode("latin-1"))
            fields = {}
            for line in head[1:]:
                name, _, value = line.partition(":")
                fields[name.lower()] = value.strip(" ")
            if int(status) >= 200:
                return Answer(version, int(status), fields, self.read_body(method, int(status), fields))

    def read_body(self, method, status, fields):
        if method == "HEAD" or status in (204, 304):
            return b""
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.read_to(b"\r\n"), 16):
                body += self.read_exactly(size)
                self.read_exactly(2)
            while self.read_to(b"\r\n"):
                pass
            return body
        if "content-length" in fields:
            return self.read_exactly(int(fields["content-length"]))
        return self.rest()  # the end of the connection is the end of the body: all that HTTP/1.0 understands

    def rest(self):
        """Whatever comes until the connection ends."""
        while True:
            try:
                self.read_more()
            except Ended:
                rest, self.held = self.held, b""
                return rest
