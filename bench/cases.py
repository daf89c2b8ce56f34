"""The cases: what is asked for, by whom, over what."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    path: str = "/"
    # None: a plain route; "anonymous": a session route, no cookie; "live", "written", "vault": with a session.
    session: str | None = None
    store: str = "memory"
    tls: bool = False
    # Whether the certificate is one that is dear to sign with.
    rsa: bool = False
    http: int = 1
    # "kept": connections are kept alive; "new": one for each request, TLS sessions resumed; "strange": one for each request,
    # of somebody who was never here; "steady": kept, at a fixed rate.
    connections: str = "kept"
    peers: tuple = field(default=("nginx", "haproxy", "cloakroom"))
    # The bound of the ratio to nginx, and of what it is.
    bound: float | None = None
    measure: str = "micros"


ALL = ("nginx", "haproxy", "apache", "cloakroom")

CASES = [
    Case("plain", "plain route", bound=1.0, peers=ALL),
    Case("anonymous", "anonymous visitor", session="anonymous", bound=1.03, peers=ALL),
    Case("memory", "live session, memory", session="live", bound=1.05, peers=ALL),
    Case("file", "live session, file", session="live", store="file"),
    Case("redis", "live session, Redis", session="live", store="redis", bound=1.2),
    Case("written", "session written each time, Redis", "/write", session="written", store="redis", bound=1.6, peers=ALL),
    Case("vault", "vault, memory", "/vault", session="vault"),
    Case("steady", "p99 at equal load, Redis", session="live", store="redis", connections="steady", bound=1.5, measure="p99"),
    Case("1k", "1 KB body, plain route", "/1k"),
    Case("16k", "16 KB body, plain route", "/16k"),
    Case("1m", "1 MB body, plain route", "/1m"),
    Case("new", "new connections, plain route", connections="new"),
    Case("tls", "TLS, plain route", tls=True),
    Case("tls-new", "TLS, new connections", tls=True, connections="new"),
    Case("tls-strange", "TLS, connections of strangers, RSA 4096", tls=True, rsa=True, connections="strange"),
    Case("tls-redis", "TLS, live session, Redis", session="live", store="redis", tls=True),
    Case("h2", "HTTP/2 over TLS, plain route", http=2, tls=True),
    Case("h2-memory", "HTTP/2 over TLS, live session, memory", session="live", http=2, tls=True),
]


def chosen(names):
    known = {case.name: case for case in CASES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such case: {' '.join(unknown)}; there are: {' '.join(known)}")
    return [known[name] for name in names] if names else CASES
