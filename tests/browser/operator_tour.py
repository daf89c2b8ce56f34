"""The tour of an operator: the page on the admin listener, in light, in dark and on a phone, with data that means ill."""

import http.client
import json
import secrets
import sys

from stage import eventually, free_port

HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
# What an application stores, and what it calls a user: markup, a template, a quote that would end an attribute.
DATA = {"html": HOSTILE, "close": "</pre></script>", "price": 1.10, "big": 12345678901234567890123, "cart": ["hat", {"n": 2}], "empty": {}}
PEOPLE = ["ada", "ada", "ada", "bob", HOSTILE]


def walk(report, stage, binary, redis, screenshots, new_browser):
    site = Site(stage, binary, redis)
    light, dark = new_browser(), new_browser(dark=True)
    sign_in(report, site, light)
    light.photograph(screenshots / "operator-token.png")
    enter(light, site.token)
    sees_everything(report, site, light)
    light.photograph(screenshots / "operator-light.png")
    finds(report, site, light)
    shows(report, light)
    light.photograph(screenshots / "operator-session.png")
    light.click("#close")
    dark.open(site.admin_url)
    enter(dark, site.token)
    eventually(lambda: rows(dark) == 5, "the sessions in the dark")
    dark.photograph(screenshots / "operator-dark.png")
    phone(report, site, screenshots, new_browser(width=390, height=844))
    by_keyboard(report, site, light)
    ends_all(report, site, light, screenshots)
    store_away(report, site, redis, light, screenshots)
    complaints = [line for line in light.complaints() + dark.complaints() if " 401 " not in line and " 503 " not in line]
    report.equal("no browser had anything else to complain about", complaints, [])
    report.equal("the proxy stops at SIGTERM with exit code 0", site.proxy.end(), 0)


class Site:
    """A proxy with an admin listener and an application that does as it is told."""

    def __init__(self, stage, binary, redis):
        self.port, self.app_port, self.admin = free_port(), free_port(), free_port()
        self.admin_url = f"http://127.0.0.1:{self.admin}/"
        self.token = secrets.token_urlsafe(32)
        for name in ("admin", "root", "key"):
            (stage.path / f"operator-{name}").write_text(self.token if name == "admin" else secrets.token_urlsafe(32))
        config = stage.path / "operator.toml"
        config.write_text(
            f'[listen]\naddress = "127.0.0.1:{self.port}"\n[admin]\naddress = "127.0.0.1:{self.admin}"\n'
            f'token = {{ file = "operator-admin" }}\n[keys]\nroot = [{{ file = "operator-root" }}]\n'
            f'[token]\nkeys = [{{ file = "operator-key" }}]\n[store]\nurl = "redis://127.0.0.1:{redis.port}/3"\n'
            f'timeout = "2s"\n[upstreams.app]\nservers = ["http://127.0.0.1:{self.app_port}"]\n'
        )
        app = stage.path / "operator_app.py"
        app.write_text(APP)
        stage.start("operator-app", [sys.executable, app, self.app_port], self.app_port)
        self.proxy = stage.start("operator-proxy", [binary, "run", "--config", config], self.port)
        self.tickets = [self.log_in(name) for name in PEOPLE]

    def ask(self, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/", headers={"Host": "localhost", **headers})
        answer = connection.getresponse()
        body, cookie = answer.read().decode(), answer.getheader("Set-Cookie") or ""
        connection.close()
        return body, cookie.split(";")[0]

    def log_in(self, name):
        return self.ask(**{"X-Name": json.dumps(name), "X-Data": json.dumps(DATA)})[1]

    def is_live(self, ticket):
        return json.loads(self.ask(Cookie=ticket)[0])


# Stores X-Data for the user X-Name; says whether the request came with a session.
APP = '''
import base64, http.server, json, sys


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        claims = json.loads(base64.urlsafe_b64decode(self.headers["X-Session"].split(".")[1] + "=="))
        body = json.dumps("sid" in claims).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if name := self.headers["X-Name"]:
            subject = "".join(f"%{byte:02x}" for byte in json.loads(name).encode())
            self.send_header("X-Session-Update", self.headers["X-Data"])
            self.send_header("X-Session-Control", f'subject=%"{subject}"')
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Application).serve_forever()
'''


def rows(browser):
    return browser.script("return document.querySelectorAll('#sessions tbody tr').length")


def enter(browser, token):
    browser.type("#token", token + "\n")
    eventually(lambda: not browser.script("return document.querySelector('#desk').hidden"), "the desk")


def search(browser, text):
    browser.fill("#wanted", text + "\n")


def sign_in(report, site, light):
    light.open(site.admin_url)
    eventually(lambda: light.script("return !document.querySelector('#sign-in').hidden"), "the question for the token")
    light.type("#token", "not the token\n")
    eventually(lambda: "not the token" in light.text("#sign-in-problem"), "the refusal")
    report.check("without the token nothing is shown", light.script("return document.querySelector('#desk').hidden"))
    report.equal("the token is not in the address", light.script("return location.href"), site.admin_url)


def sees_everything(report, site, light):
    eventually(lambda: rows(light) == 5, "all sessions")
    eventually(lambda: light.text("#count") == "5 live", "their count")
    report.check("who is logged in is shown", all(name in light.text("#sessions") for name in PEOPLE), light.text("#sessions"))
    report.equal("and markup in a name stays text", light.script("return [document.title, document.querySelectorAll('#sessions img, #sessions script').length]"), ["Cloakroom", 0])
    health = light.text("#health")
    report.check("the store and the application are well", "Store (redis) answers" in health and "app at http://127.0.0.1" in health and "up" in health, health)
    for _ in range(20):
        site.is_live(site.tickets[0])
    eventually(lambda: light.script("return document.querySelectorAll('svg.plot path').length") >= 4, "plots")
    eventually(lambda: light.script("return [...document.querySelectorAll('svg.plot')].some((plot) => /2xx (?!0\\/s)/.test(plot.ariaLabel))"), "traffic in the plots")
    report.check("traffic is plotted", "of the last" in light.text("#traffic-span"), light.text("#traffic-span"))
    report.equal("the token stays out of the address", light.script("return location.href"), site.admin_url)


def finds(report, site, light):
    search(light, "ada")
    eventually(lambda: rows(light) == 3 and light.text("#count") == "3 of this user", "the sessions of one user")
    handle = light.script("return document.querySelector('#sessions tbody tr').dataset.handle")
    search(light, handle)
    eventually(lambda: rows(light) == 1, "one session by its handle")
    report.check("a session is found by its handle", light.script("return document.querySelector('#sessions tbody tr').dataset.handle") == handle)
    search(light, "nobody <b>")
    eventually(lambda: light.text("#nothing") == "No session of nobody <b> lives.", "nothing")
    search(light, HOSTILE)
    eventually(lambda: rows(light) == 1, "the session with the odd name")
    report.check("who is sought is text as well", HOSTILE in light.text("#end-all"), light.text("#end-all"))


def shows(report, light):
    light.click("#sessions tbody tr td.actions button")
    eventually(lambda: light.script("return document.querySelector('#session').open"), "the session")
    report.check("its data is not shown unasked", light.script("return document.querySelector('#data').hidden && document.querySelector('#data').textContent === ''"))
    light.click("#show-data")
    eventually(lambda: light.script("return !document.querySelector('#data').hidden"), "its data")
    text = light.script("return document.querySelector('#data').textContent")
    report.equal("what was asked for is shown as it is", json.loads(text), DATA)
    report.check("with every digit", '"price": 1.1' in text and "12345678901234567890123" in text, text)
    report.equal("hostile data is text", light.script("return [document.title, document.querySelectorAll('#data *').length]"), ["Cloakroom", 0])


def phone(report, site, screenshots, browser):
    browser.open(site.admin_url)
    enter(browser, site.token)
    eventually(lambda: rows(browser) == 5, "the sessions on a phone")
    width = browser.script("return [document.documentElement.scrollWidth, innerWidth]")
    report.check("on a phone nothing sticks out sideways", width[0] <= width[1], width)
    browser.photograph(screenshots / "operator-phone.png")
    browser.close()


def by_keyboard(report, site, light):
    """Tab, Enter and Escape only: find bob, open the session, end it."""
    search(light, "bob")
    eventually(lambda: rows(light) == 1 and "bob" in light.text("#sessions"), "bob")
    light.script("document.querySelector('#wanted').focus()")
    visited = []
    while "Show the session" not in (visited or [""])[-1] and len(visited) < 10:
        light.press("Tab")
        visited.append(light.script("return document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"))
    report.check("the keyboard gets from the search to the session", "Show the session" in visited[-1], visited)
    light.press("Enter")
    eventually(lambda: light.script("return document.querySelector('#session').open"), "the session")
    light.press("Escape")
    report.check("Escape closes it", not light.script("return document.querySelector('#session').open"))
    light.press("Tab")
    light.press("Enter")
    eventually(lambda: light.script("return document.querySelector('#confirm').open"), "the question")
    light.press("Enter")
    report.check("what Enter means first is: keep", not light.script("return document.querySelector('#confirm').open") and rows(light) == 1)
    light.press("Enter")
    eventually(lambda: light.script("return document.querySelector('#confirm').open"), "the question again")
    light.press("Shift+Tab")
    light.press("Enter")
    eventually(lambda: light.text("#notice") == "The session has ended.", "the end")
    report.check("and the session is over", not site.is_live(site.tickets[3]))
    report.check("nobody else's is", all(site.is_live(site.tickets[place]) for place in (0, 1, 2, 4)))


def ends_all(report, site, light, screenshots):
    search(light, "ada")
    eventually(lambda: light.script("return document.querySelector('#end-all').textContent") == "End all sessions of ada", "the way to end all")
    light.click("#end-all")
    eventually(lambda: light.text("#question") == "End all sessions of ada?", "the question")
    report.check("the question says how many", light.text("#consequence").startswith("3 sessions end on every device"), light.text("#consequence"))
    light.photograph(screenshots / "operator-confirm.png")
    light.click("#no")
    report.check("who keeps them ends nothing", all(site.is_live(ticket) for ticket in site.tickets[:3]))
    light.click("#end-all")
    eventually(lambda: light.text("#question") == "End all sessions of ada?", "the question again")
    light.click("#yes")
    eventually(lambda: light.text("#notice") == "3 sessions of ada have ended.", "the end of all")
    report.check("all sessions of the user are over", not any(site.is_live(ticket) for ticket in site.tickets[:3]))
    report.check("nobody else's is", site.is_live(site.tickets[4]))


def store_away(report, site, redis, light, screenshots):
    redis.stop_answering()
    try:
        eventually(lambda: "did not answer in time" in light.text("#health") or "broke" in light.text("#health"), "the trouble")
        report.check("while the store is away the page goes on and says so", "Store (redis)" in light.text("#health"))
        search(light, "ada")
        eventually(lambda: "The store could not do it" in light.text("#sessions-problem"), "why there are no sessions")
        light.photograph(screenshots / "operator-store-away.png")
    finally:
        redis.answer_again()
    eventually(lambda: "Store (redis) answers" in light.text("#health"), "the way back")
    search(light, "")
    eventually(lambda: rows(light) == 1, "the sessions that are left")
    light.click("#forget")
    report.check("the token can be forgotten", light.script("return sessionStorage.length === 0 && document.querySelector('#desk').hidden"))
