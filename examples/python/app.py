#!/usr/bin/env python3
"""A shop without a line of session code, behind Cloakroom. Standard library only; copy what you need.

What a visitor's session holds comes with every request, in the header `X-Session`: a signed token (a JWT). What should
be remembered goes back with the answer, in two headers that only Cloakroom sees:

    X-Session-Update: {"cart": {"hat": 2}}          a JSON merge patch (RFC 7396): sets keys, `null` removes them
    X-Session-Control: rotate, subject="alice"      what happens to the session itself: rotate, destroy, clear, ...

No cookie gets here, and none is set here. The visitor's browser has it, and Cloakroom looks after it.
"""

import base64
import hmac
import html
import json
import os
import signal
import socketserver
import sys
import time
import urllib.parse
import wsgiref.simple_server

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "3000"))
AUDIENCE = os.environ.get("AUDIENCE", "app")  # our name in Cloakroom's configuration: [upstreams.app]
with open(os.environ["CLOAKROOM_TOKEN_KEY_FILE"], "rb") as file:
    KEY = file.read().removesuffix(b"\n")  # the file's bytes, less one newline at the end


# ---- The protocol: verify what comes, write what goes back.


def verify(token):
    """The claims of a token that Cloakroom signed, for us, less than a minute ago. Anything else raises ValueError.

    This is what keeps a visitor who gets past the proxy from being whoever he likes: never skip it.
    """
    signed, _, signature = token.rpartition(".")
    header, _, claims = signed.partition(".")
    if json.loads(decode(header)).get("alg") != "HS256":  # we choose the algorithm, not the token
        raise ValueError("another algorithm")
    if not hmac.compare_digest(hmac.digest(KEY, signed.encode(), "sha256"), decode(signature)):
        raise ValueError("not signed with our key")
    claims = json.loads(decode(claims))
    if claims["aud"] != AUDIENCE:
        raise ValueError("meant for another application")
    if claims["exp"] <= time.time():
        raise ValueError("too old")
    return claims


def decode(part):
    """base64url without padding, as in every JWT."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def subject(name):
    """A name as a structured field (RFC 9651): a string if it is ASCII, otherwise a display string."""
    if name.isascii():
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    escaped = (f"%{byte:02x}" if byte in b'%"' or not 32 <= byte < 127 else chr(byte) for byte in name.encode())
    return '%"' + "".join(escaped) + '"'


# ---- The shop. Each page gets the token's claims and the form, and returns a status and headers, or a page as well.

GOODS = {"hat": "Felt hat", "scarf": "Wool scarf", "umbrella": "Umbrella"}


def front(claims, form):
    """Counts the visit. `json.dumps` writes ASCII, which is what a header wants."""
    data = claims["data"]
    visits = data.get("visits", 0) + 1
    return "200 OK", [("X-Session-Update", json.dumps({"visits": visits}))], page(claims, visits)


def sign_in(claims, form):
    """`rotate` gives the visitor a new cookie for the same session: whoever knew the old one stays outside."""
    name = form.get("name", "").strip()
    if not name or not name.isprintable() or len(name.encode()) > 256:
        return "422 Unprocessable Content", [], "<p>Please write a name, of 256 bytes at most."
    return see_other(
        "/",
        ("X-Session-Update", json.dumps({"user": {"name": name}})),
        ("X-Session-Control", f"rotate, subject={subject(name)}"),
    )


def sign_out(claims, form):
    """Ends the session, whatever is in it, and deletes the cookie. /goodbye stores nothing, so no new one is made."""
    return see_other("/goodbye", ("X-Session-Control", "destroy"))


def add(claims, form):
    """Sends only what changes. Two tabs that add different things at the same moment both win."""
    item = form.get("item")
    if item not in GOODS:
        return "422 Unprocessable Content", [], "<p>We do not sell this."
    count = claims["data"].get("cart", {}).get(item, 0) + 1
    return see_other("/", ("X-Session-Update", json.dumps({"cart": {item: count}})))


def empty(claims, form):
    """`null` removes a key."""
    return see_other("/", ("X-Session-Update", json.dumps({"cart": None})))


def goodbye(claims, form):
    """Reads nothing, writes nothing: a page like any other."""
    return "200 OK", [], '<h1 id="goodbye">Goodbye!</h1><p>Nothing is kept of you. <a href="/">Come in again</a>'


def expiry(claims, form):
    """Who asks, and how long the session can last. `sid` is the session's public name: good for logs, opens nothing.

    A session also ends when it was idle for too long; every request that presents it, this one too, starts that anew.
    """
    left = claims["expires"] - int(time.time()) if "sid" in claims else None
    facts = {"session": claims.get("sid"), "version": claims.get("ver"), "subject": claims.get("sub")}
    return "200 OK", [("Content-Type", "application/json")], json.dumps({**facts, "seconds_left": left}, indent=2) + "\n"


def see_other(location, *headers):
    """The change is saved before the browser sees this answer, so the page it goes to already has it."""
    return "303 See Other", [("Location", location), *headers], ""


def page(claims, visits):
    data, quote = claims["data"], html.escape
    cart = "".join(f'<li id="cart-{item}">{n} × {quote(GOODS[item])}' for item, n in data.get("cart", {}).items())
    if name := data.get("user", {}).get("name"):
        who = f'Hello, <b id="who">{quote(name)}</b> <button id="sign-out" formaction="/sign-out">Sign out</button>'
    else:
        who = '<label for="name">Your name</label> <input id="name" name="name"> <button id="sign-in">Sign in</button>'
    goods = (f'<button id="add-{item}" name="item" value="{item}">{quote(label)}</button> ' for item, label in GOODS.items())
    return f"""<h1>The Umbrella Stand</h1>
<p>You have been here <b id="visits">{visits}</b> {"time" if visits == 1 else "times"}.</p>
<form method="post" action="/sign-in">{who}</form>
<h2>Take something</h2><form method="post" action="/cart/add">{"".join(goods)}</form>
<h2>Your cart</h2><ul id="cart">{cart or "<li>nothing yet"}</ul>
<form method="post" action="/cart/empty"><button id="empty-cart">Empty it</button></form>
<h2>What Cloakroom told us</h2><pre id="claims">{quote(json.dumps(claims, indent=2, ensure_ascii=False))}</pre>"""


# ---- The web server. Any WSGI server does.

ROUTES = {
    ("GET", "/"): front,
    ("GET", "/goodbye"): goodbye,
    ("GET", "/expiry"): expiry,
    ("POST", "/sign-in"): sign_in,
    ("POST", "/sign-out"): sign_out,
    ("POST", "/cart/add"): add,
    ("POST", "/cart/empty"): empty,
}
FRAME = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The Umbrella Stand</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }}
h1, h2 {{ font-family: Georgia, serif }}
button, input {{ font: inherit; padding: .3rem .7rem }}
pre {{ overflow: auto; padding: 1rem; background: #8882 }}
</style>{}"""


def application(environ, start_response):
    try:
        claims = verify(environ.get("HTTP_X_SESSION", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [b"This application serves only requests that came through Cloakroom.\n"]
    answer = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    if answer is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"There is nothing here.\n"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode(errors="replace")
    status, headers, text = answer(claims, dict(urllib.parse.parse_qsl(body)))
    if "Content-Type" not in dict(headers):
        headers.append(("Content-Type", "text/html; charset=utf-8"))
        text = FRAME.format(text)
    start_response(status, headers)
    return [text.encode()]


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with wsgiref.simple_server.make_server(HOST, PORT, application, server_class=Server) as server:
        print(f"listening on http://{HOST}:{server.server_port}", file=sys.stderr, flush=True)
        server.serve_forever()
