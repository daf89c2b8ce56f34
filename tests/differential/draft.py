"""A request as it is written down, and what is known of it before it is sent.

All text is Latin-1: one character is one byte.
"""

import dataclasses


@dataclasses.dataclass
class Length:
    """A body behind `Content-Length`."""

    content: bytes

    def line(self):
        return "Content-Length", f" {len(self.content)}"

    def written(self):
        return self.content


@dataclasses.dataclass
class Chunked:
    """A body in chunks: each with its size as it is written, extensions included."""

    chunks: list
    end: str = "0"
    trailers: list = dataclasses.field(default_factory=list)

    @property
    def content(self):
        return b"".join(piece for _, piece in self.chunks)

    def line(self):
        return "Transfer-Encoding", " chunked"

    def written(self):
        pieces = [size.encode("latin-1") + b"\r\n" + piece + b"\r\n" for size, piece in self.chunks]
        trailers = "".join(f"{name}:{value}\r\n" for name, value in self.trailers)
        return b"".join(pieces) + f"{self.end}\r\n{trailers}\r\n".encode("latin-1")


@dataclasses.dataclass
class Draft:
    """A sound request. Field values are what stands behind the colon, white space included."""

    method: str = "GET"
    target: str = "/"
    version: str = "1.1"
    host: str | None = "differential.test"
    fields: list = dataclasses.field(default_factory=list)
    body: Length | Chunked | None = None
    empty_lines: int = 0
    host_at: int = 0
    framing_at: int = 0

    def lines(self):
        """All field lines in order."""
        lines = list(self.fields)
        if self.host is not None:
            lines.insert(self.host_at % (len(lines) + 1), ("Host", f" {self.host}"))
        if self.body:
            lines.insert(self.framing_at % (len(lines) + 1), self.body.line())
        return lines

    def first_line(self):
        return f"{self.method} {self.target} HTTP/{self.version}"

    def written(self):
        fields = "".join(f"{name}:{value}\r\n" for name, value in self.lines())
        head = "\r\n" * self.empty_lines + self.first_line() + "\r\n" + fields + "\r\n"
        return head.encode("latin-1") + (self.body.written() if self.body else b"")

    def says(self, name):
        """The values of a field, trimmed."""
        return [value.strip(" \t") for line, value in self.lines() if line.lower() == name]

    def lists(self, name):
        """The elements of a field that is a list."""
        elements = (element.strip(" \t") for value in self.says(name) for element in value.split(","))
        return [element for element in elements if element]

    @property
    def closes(self):
        """Whether the connection ends with the answer."""
        options = [option.lower() for option in self.lists("connection")]
        return "close" in options or (self.version == "1.0" and "keep-alive" not in options)


@dataclasses.dataclass
class Passes:
    """The application gets it, as its draft says that it is due."""

    draft: Draft


@dataclasses.dataclass
class Tolerated:
    """The proxy may pass it on or refuse it with 400; the application gets what is due or nothing."""

    draft: Draft


@dataclasses.dataclass
class Answered:
    """The proxy answers itself; the connection goes on, or ends."""

    statuses: tuple
    ends: bool


@dataclasses.dataclass
class Breaks:
    """The body breaks off or breaks the rules: the application gets no whole request, and the connection ends."""

    draft: Draft


@dataclasses.dataclass
class Sent:
    """What goes over the wire, what shall become of it, and the name of what was done to it. After one that is cut
    nothing more is written."""

    raw: bytes
    verdict: Passes | Tolerated | Answered | Breaks
    method: str
    about: str
    is_cut: bool = False
