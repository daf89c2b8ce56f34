"""What Cloakroom adds to an application that knows nothing of it: seen from the browser, from a thief's, and from the
command line of whoever runs it."""

import re
import time

from flows import sign_in
from wire import get

IDS = re.compile(r"[?&;](jsessionid|phpsessid|sid|sessionid|session_id|dokuwiki|phpmyadmin)=", re.IGNORECASE)
ADDRESSES = "return [...document.querySelectorAll('[href], [src], [action]')].map(e => e.getAttribute('href') || e.getAttribute('src') || e.getAttribute('action') || '')"
IDLE = 5


class Witness:
    """Looks at browsers after every step: what they hold, what scripts see, where links lead."""

    def __init__(self):
        self.pages, self.links = 0, 0
        self.strangers, self.visible, self.leaks = set(), set(), set()

    def look(self, browser):
        self.pages += 1
        self.strangers |= {cookie["name"] for cookie in browser.cookies()} - {"__Host-session"}
        self.visible |= {browser.script("return document.cookie")} - {""}
        addresses = browser.script(ADDRESSES)
        self.links += len(addresses)
        self.leaks |= {address for address in addresses if IDS.search(address)}

    def tell(self, report):
        report.check(f"the witness saw something: {self.pages} pages, {self.links} links", self.pages > 5 and self.links > 20)
        report.equal("no browser held a cookie but ours", self.strangers, set())
        report.equal("no script saw a cookie", self.visible, set())
        report.equal("and no link held the id of a session", self.leaks, set())


def walk(report, app, proxy, watch, new_browser):
    alice, thief = new_browser(), new_browser()
    planting(report, app, proxy.base, alice, thief)
    forging(report, app, proxy)
    crashing(report, app, proxy, watch, alice)
    stealing(report, app, proxy.base, alice, thief)
    thief.close()
    carol = new_browser()
    app.promises(report, proxy, carol)
    carol.close()
    revoking(report, app, proxy, alice)
    idling(report, app, proxy, alice)
    alice.close()
    report.equal("Cloakroom stops at SIGTERM with exit code 0", proxy.end(), 0)


def planting(report, app, base, alice, thief):
    app.who(thief, base)
    planted = thief.ticket()
    report.check("a visitor has a ticket, since the application has a session for her", planted)
    alice.open(base + app.page)
    alice.put_ticket(base, planted)
    sign_in(app, alice, base, "alice")
    report.equal("somebody with a planted ticket signs in", app.who(alice, base), "alice")
    report.check("and has another one then", alice.ticket() not in (None, planted))
    report.equal("whoever planted it is nobody", app.who(thief, base), None)
    thief.put_ticket(base, planted)
    report.equal("however often it is tried", app.who(thief, base), None)
    thief.put_ticket(base, alice.ticket())
    report.equal("though the way to try it was right", app.who(thief, base), "alice")


def forging(report, app, proxy):
    """A genuine session of the application, from past the proxy, presented to the proxy."""
    mallory = app.cookies(f"http://127.0.0.1:{app.port}", "bob")
    report.equal("past the proxy the application's own cookies open it", greeted(app, app.port, mallory), "bob")
    report.equal("through it they do not", greeted(app, proxy.port, mallory), None)
    for way, spelt in spellings(mallory):
        report.equal(f"nor {way}", greeted(app, proxy.port, spelt), None)
    ours = app.cookies(proxy.base, "alice")
    report.check("a script that signs in holds our cookie only", re.fullmatch(r"__Host-session=[\w-]+", ours), ours)
    for both in f"{mallory}; {ours}", f"{ours}; {mallory}":
        report.equal("beside our cookie they count for nothing", greeted(app, proxy.port, both), "alice")


def spellings(cookies):
    """Ways to write cookies that some server reads as the same."""
    pairs = [pair.split("=", 1) for pair in cookies.split("; ")]
    yield "with other letters", "; ".join(f"{name.swapcase()}={value}" for name, value in pairs)
    yield "with blanks", "; ".join(f" {name} = {value}" for name, value in pairs)
    yield "percent-encoded", "; ".join(f"%{ord(name[0]):02x}{name[1:]}={value}" for name, value in pairs)
    yield "in commas", "a=1," + ",".join(f"{name}={value}" for name, value in pairs)
    yield "in quotes", f'a="x; {cookies}; y"'


def greeted(app, port, cookies):
    """Who a page says that is there, asked for with these cookies."""
    status, text = get(port, app.page, Cookie=cookies)
    return next((user for user in app.people if app.greeting(user) in text), None)


def crashing(report, app, proxy, watch, alice):
    ticket = alice.ticket()
    proxy.crash()
    report.equal("Cloakroom is killed and started again: she is still signed in", app.who(alice, proxy.base), "alice")
    app.work(alice, proxy.base, "alice", "fourth hats")
    report.check("and goes on working", "fourth hats" in app.done(alice, proxy.base, "alice"))
    report.equal("with the same ticket", alice.ticket(), ticket)
    watch(alice)


def stealing(report, app, base, alice, thief):
    stolen = alice.ticket()
    app.sign_out(alice, base)
    thief.put_ticket(base, stolen)
    report.equal("after signing out her ticket opens nothing", app.who(thief, base), None)


def revoking(report, app, proxy, alice):
    sign_in(app, alice, proxy.base, "alice")
    report.equal("she signs in once more", app.who(alice, proxy.base), "alice")
    handle = next(event["session"] for event in reversed(proxy.events()) if event.get("session"))
    proxy.revoke(handle)
    report.equal("revoked in Cloakroom, she is signed out of the application", app.who(alice, proxy.base), None)


def idling(report, app, proxy, alice):
    proxy.end()
    proxy.start(idle_timeout=f"{IDLE}s", max_idle_timeout=f"{IDLE}s")
    sign_in(app, alice, proxy.base, "alice")
    report.equal("she signs in with a short idle timeout", app.named(alice), "alice")
    time.sleep(IDLE * 1.1 + 0.5)  # an idle session ends at most a tenth later
    report.equal("idle for too long, she is signed out of the application", app.who(alice, proxy.base), None)
