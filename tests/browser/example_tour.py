"""The tour through the example shop, in whatever language: Redis, `cloakroom run --config`, and two people with a browser each."""

import base64
import http.client
import json
import re

from stage import eventually

NAME = 'Zoë "<b>"'


def walk(report, stage, binary, redis, example, screenshots, new_browser):
    past_the_proxy(report, example)
    proxy = example.run(binary, retire_grace="2s")
    alice, bob = new_browser(), new_browser()
    tickets = []
    first_visits(report, example, alice, bob)
    carts(report, alice, bob)
    tickets += sign_in(report, example, alice, bob, new_browser)
    alice.photograph(screenshots / f"example-{example.folder.name}.png")
    proxy = restart(report, example, binary, proxy, alice, bob)
    tickets += sign_out(report, example, alice, bob)
    report.equal("the proxy stops at SIGTERM with exit code 0", proxy.end(), 0)
    expiry(report, example, binary, redis, new_browser())
    log(report, stage, [*tickets, bob.ticket()])


def past_the_proxy(report, example):
    unsigned = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"none"}', b'{"data":{}}', b""))
    for what, token in ("no token", None), ("nonsense", "a.b.c"), ("an unsigned token", unsigned):
        connection = http.client.HTTPConnection("127.0.0.1", example.app_port, timeout=10)
        connection.request("GET", "/", headers={"X-Session": token} if token else {})
        report.equal(f"past the proxy, with {what}, the application answers 401", connection.getresponse().status, 401)
        connection.close()


def first_visits(report, example, alice, bob):
    report.check("the cookie is as promised", *promised(example.port))
    alice.open(example.url)
    report.equal("the first visit is number 1", alice.text("#visits"), "1")
    cookies = alice.cookies()
    report.equal("there is one cookie, and it is ours", [cookie["name"] for cookie in cookies], ["__Host-session"])
    seen = {key: cookies[0].get(key) for key in ("path", "secure", "httpOnly", "sameSite", "domain", "expiry")}
    wanted = {"path": "/", "secure": True, "httpOnly": True, "sameSite": "Lax", "domain": "127.0.0.1", "expiry": None}
    report.equal("the browser keeps it for this host and until it is closed", seen, wanted)
    report.equal("scripts do not see it", alice.script("return document.cookie"), "")
    ticket = alice.ticket()
    alice.open(example.url)
    report.equal("the second visit is number 2", alice.text("#visits"), "2")
    report.equal("and changes no cookie", alice.ticket(), ticket)
    bob.open(example.url)
    report.equal("a second browser begins at 1", bob.text("#visits"), "1")
    report.check("with another ticket", bob.ticket() not in (None, ticket))


def promised(port):
    """The Set-Cookie line of a first visit, byte for byte."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    lines = connection.getresponse().headers.get_all("Set-Cookie") or []
    connection.close()
    if len(lines) != 1:
        return False, lines
    pair, *attributes = lines[0].split("; ")
    fits = re.fullmatch(r"__Host-session=[A-Za-z0-9_-]{1,128}", pair)
    return bool(fits) and sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"], attributes


def carts(report, alice, bob):
    for button in "#add-hat", "#add-hat", "#add-scarf":
        alice.follow(button)
    bob.follow("#add-umbrella")
    report.equal("the cart holds what was put in", alice.text("#cart"), "2 × Felt hat\n1 × Wool scarf")
    report.equal("and the other browser's cart something else", bob.text("#cart"), "1 × Umbrella")
    bob.follow("#empty-cart")
    report.equal("emptying a cart empties it", bob.text("#cart"), "nothing yet")
    bob.follow("#add-umbrella")


def sign_in(report, example, alice, bob, new_browser):
    before, handle = alice.ticket(), claims(alice)["sid"]
    alice.type("#name", NAME)
    alice.follow("#sign-in")
    report.equal("signing in shows the name, and only as text", alice.text("#who"), NAME)
    after = alice.ticket()
    report.check("the cookie has a new value", after not in (None, before))
    report.equal("for the same session", claims(alice)["sid"], handle)
    report.equal("with the name as its subject", claims(alice).get("sub"), NAME)
    report.equal("and the cart is still there", alice.text("#cart"), "2 × Felt hat\n1 × Wool scarf")
    report.check("the other browser is not signed in", not bob.shows("#who"))
    thief = new_browser()
    thief.open(example.url + "/goodbye")
    thief.put_ticket(example.url, before)
    report.equal("the cookie from before signing in opens nothing", facts(thief, example)["session"], None)
    thief.put_ticket(example.url, after)
    report.equal("the one from after does: it was tried in the right way", facts(thief, example)["session"], handle)
    thief.close()
    return [before, after]


def restart(report, example, binary, proxy, alice, bob):
    ticket, visits = alice.ticket(), int(alice.text("#visits"))
    proxy.kill()
    proxy = example.run(binary, retire_grace="2s")
    alice.open(example.url)
    report.equal("after the proxy was killed and started again the name is there", alice.text("#who"), NAME)
    report.equal("and the cart", alice.text("#cart"), "2 × Felt hat\n1 × Wool scarf")
    report.equal("and the count of visits", int(alice.text("#visits")), visits + 1)
    report.equal("with the same cookie", alice.ticket(), ticket)
    bob.open(example.url)
    report.equal("and the other browser has its own cart", bob.text("#cart"), "1 × Umbrella")
    return proxy


def sign_out(report, example, alice, bob):
    ticket = alice.ticket()
    alice.follow("#sign-out")
    report.check("signing out says goodbye", alice.shows("#goodbye"))
    report.equal("and the browser has no cookie left", alice.cookies(), [])
    alice.put_ticket(example.url, ticket)
    report.equal("the old cookie, put back by hand, opens nothing", facts(alice, example)["session"], None)
    eventually(lambda: visit(alice, example.url), "a page for the old cookie")
    report.equal("and its owner is a new visitor", alice.text("#visits"), "1")
    report.check("without a name", not alice.shows("#who"))
    report.check("under a new ticket", alice.ticket() not in (None, ticket))
    bob.open(example.url)
    report.equal("the other browser did not notice", bob.text("#cart"), "1 × Umbrella")
    return [ticket, alice.ticket()]


def visit(browser, url):
    """Looks at the shop; a late writer with an ended session's cookie is told to come back in a moment (409)."""
    browser.open(url)
    return browser.shows("#visits")


def expiry(report, example, binary, redis, carol):
    proxy = example.run(binary, idle_timeout="2s", touch_interval="1s")
    carol.open(example.url)
    carol.follow("#add-hat")
    report.equal("a session with a short idle timeout begins like any other", carol.text("#cart"), "1 × Felt hat")
    ticket, key = carol.ticket(), f"cloakroom:s:{claims(carol)['sid']}"
    report.check("it is in Redis under its handle", redis.has(key), key)
    eventually(lambda: not redis.has(key), "the idle session to leave Redis")
    carol.open(example.url)
    report.equal("when it was idle for too long the cart is gone", carol.text("#cart"), "nothing yet")
    report.equal("and the visitor is new", carol.text("#visits"), "1")
    report.check("with a new cookie", carol.ticket() not in (None, ticket))
    proxy.end()


def log(report, stage, tickets):
    text = (stage.path / "proxy.log").read_text(errors="replace")
    report.check("the proxy's log is not empty", bool(text))
    report.check("and names no ticket and no user", not any(word in text for word in [*filter(None, tickets), "Zoë", "Zo%c3%ab"]))


def claims(browser):
    """The token's claims, which the example prints on its page."""
    return json.loads(browser.text("#claims"))


def facts(browser, example):
    """What the application knows without changing anything."""
    browser.open(example.url + "/expiry")
    return json.loads(browser.text("body"))
