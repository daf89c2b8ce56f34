#!/usr/bin/env python3
"""The form of Django's tutorials without Django: what is submitted is kept in the session, and shown.

No session code, no database, standard library only. What the visitor's session holds comes with every request, in the
signed header `X-Session`; what should be kept goes back in `X-Session-Update`, and only Cloakroom sees it:

    X-Session-Update: {"history": []}                                        with the first page
    X-Session-Update: [{"op": "add", "path": "/history/-", "value": "..."}]  with every submission

The second one appends to the list as it is stored *then*, not as this application was shown it: of any number of
submissions at once, in as many windows, none is lost.
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
import urllib.error
import urllib.parse
import urllib.request
import wsgiref.simple_server

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "3000"))
CLOAKROOM = os.environ.get("CLOAKROOM_URL", "http://127.0.0.1:9900")  # its application listener
LONGEST = 1000  # characters of one submission
with open(os.environ["CLOAKROOM_TOKEN_KEY_FILE"], "rb") as file:
    KEY = file.read().removesuffix(b"\n")


def verify(token):
    """The claims of a token that Cloakroom signed, for us, less than a minute ago; see ../python/app.py."""
    signed, _, signature = token.rpartition(".")
    header, _, claims = signed.partition(".")
    if json.loads(decode(header)).get("alg") != "HS256":
        raise ValueError("another algorithm")
    if not hmac.compare_digest(hmac.digest(KEY, signed.encode(), "sha256"), decode(signature)):
        raise ValueError("not signed with our key")
    claims = json.loads(decode(claims))
    if claims["aud"] != "app" or claims["exp"] <= time.time():
        raise ValueError("not for us, or too old")
    return claims


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def data(token, claims):
    """What the session holds. A long token comes without it; then it is one question away."""
    if "data" in claims:
        return claims["data"]
    request = urllib.request.Request(CLOAKROOM + "/v1/session", headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        if error.code != 410:  # 410: the session ended a moment ago
            raise
        return {}


def show(token, claims):
    """The page. Whoever is new gets an empty history, so that every submission finds a list to append to."""
    headers = [] if "sid" in claims else [("X-Session-Update", '{"history": []}')]
    return "200 OK", headers, page(data(token, claims).get("history", []))


def submit(claims, form):
    """Whoever has a session has a history. It is not read here: adding to it takes no more than saying so."""
    entry = form.get("entry", "").strip()[:LONGEST]
    if not entry:
        return see_other()
    append = [{"op": "add", "path": "/history/-", "value": entry}]
    return see_other(("X-Session-Update", json.dumps(append if "sid" in claims else {"history": [entry]})))


def forget():
    """What `request.session.flush()` is in Django."""
    return see_other(("X-Session-Control", "destroy"))


def see_other(*headers):
    """The change is saved before the browser sees this, so the page that it asks for next shows it."""
    return "303 See Other", [("Location", "/"), *headers], ""


def page(history):
    entries = "".join(f"<li>{html.escape(entry)}" for entry in history)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>History</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }}
button, input {{ font: inherit; padding: .3rem .7rem }}
</style>
<h1>What you wrote</h1>
<ol id="history">{entries}</ol>
<p><b id="count">{len(history)}</b> {"entry" if len(history) == 1 else "entries"}
<form method="post" action="/"><label>Another one <input name="entry" id="entry" maxlength="{LONGEST}" required autofocus></label>
<button id="submit">Keep it</button></form>
<form method="post" action="/forget"><button id="forget">Forget me</button></form>"""


def application(environ, start_response):
    token = environ.get("HTTP_X_SESSION", "")
    try:
        claims = verify(token)
    except (ValueError, KeyError, TypeError, AttributeError):
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [b"This application serves only requests that came through Cloakroom.\n"]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    form = dict(urllib.parse.parse_qsl(environ["wsgi.input"].read(length).decode(errors="replace")))
    match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
        case "GET", "/":
            status, headers, text = show(token, claims)
        case "POST", "/":
            status, headers, text = submit(claims, form)
        case "POST", "/forget":
            status, headers, text = forget()
        case _:
            status, headers, text = "404 Not Found", [], "There is nothing here."
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), *headers])
    return [text.encode()]


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with wsgiref.simple_server.make_server(HOST, PORT, application, server_class=Server) as server:
        print(f"listening on http://{HOST}:{server.server_port}", file=sys.stderr, flush=True)
        server.serve_forever()
