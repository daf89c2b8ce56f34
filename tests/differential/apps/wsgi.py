"""Notes every request that gunicorn or waitress parsed whole, as a line of JSON in the file that LOG names."""

import json
import os
import threading

log = open(os.environ["LOG"], "a", buffering=1)
lock = threading.Lock()


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    length = environ.get("CONTENT_LENGTH") or len(body)
    if int(length) == len(body):  # a body that broke off is no request
        fields = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_"))}
        target = environ.get("RAW_URI") or environ["REQUEST_URI"]
        seen = {"method": environ["REQUEST_METHOD"], "target": target, "fields": fields, "body": body.decode("latin-1")}
        with lock:
            log.write(json.dumps(seen) + "\n")
    start_response("200 OK", [("X-Served", "yes"), ("Content-Length", "3")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"ok\n"]
