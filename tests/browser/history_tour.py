"""The tour through the history example: the form of Django's tutorials, two people with a browser each."""

import concurrent.futures
import http.client
import threading
import urllib.parse

AT_ONCE = 20


def walk(report, binary, history, screenshots, new_browser):
    proxy = history.run(binary)
    alice, bob = new_browser(), new_browser()
    two_histories(report, history, alice, bob)
    two_windows(report, history, alice)
    proxy = restart(report, history, binary, proxy, alice, bob)
    at_once(report, history, alice, bob)
    alice.photograph(screenshots / "history.png")
    long_history(report, history, bob)
    forget(report, history, alice, bob)
    report.equal("the proxy stops at SIGTERM with exit code 0", proxy.end(), 0)


def keep(browser, entry):
    browser.type("#entry", entry)
    browser.follow("#submit")


def entries(browser):
    return browser.script("return [...document.querySelectorAll('#history li')].map(entry => entry.textContent)")


def two_histories(report, history, alice, bob):
    for browser in alice, bob:
        browser.open(history.url)
        report.equal("a history begins empty", entries(browser), [])
    ticket = alice.ticket()
    for browser, entry in (alice, "one"), (bob, "eins"), (alice, "two"), (bob, 'zwei <b>&"ü😀'), (alice, "three"):
        keep(browser, entry)
    report.equal("what one person submitted is shown, in order", entries(alice), ["one", "two", "three"])
    report.equal("and to the other what the other did, as it was typed", entries(bob), ["eins", 'zwei <b>&"ü😀'])
    report.equal("one of them has the cookie of the first visit still", alice.ticket(), ticket)
    report.check("and the other one has another", bob.ticket() not in (None, ticket))


def two_windows(report, history, alice):
    """Both windows show three entries; what each submits is added to what there is by then."""
    post(history.port, alice.ticket(), "from another window")
    report.equal("a window does not change by itself", entries(alice), ["one", "two", "three"])
    keep(alice, "four")
    wanted = ["one", "two", "three", "from another window", "four"]
    report.equal("a submission from a page that was old loses nothing", entries(alice), wanted)


def restart(report, history, binary, proxy, alice, bob):
    before = entries(alice), entries(bob)
    proxy.kill()
    proxy = history.run(binary)
    for browser in alice, bob:
        browser.open(history.url)
    report.equal("when the proxy was killed and started again both histories are there", (entries(alice), entries(bob)), before)
    return proxy


def at_once(report, history, alice, bob):
    before, others = entries(alice), entries(bob)
    submitted = [f"parallel {n:02}" for n in range(AT_ONCE)]
    start, ticket = threading.Barrier(AT_ONCE), alice.ticket()

    def submit(entry):
        start.wait(timeout=30)
        return post(history.port, ticket, entry)

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(submit, submitted))
    report.equal(f"{AT_ONCE} submissions at once are all accepted", answers, [303] * AT_ONCE)
    alice.open(history.url)
    seen = entries(alice)
    report.equal("what was there before is there", seen[: len(before)], before)
    report.equal("and each of them is, once", sorted(seen[len(before) :]), submitted)
    bob.open(history.url)
    report.equal("the other history did not change", entries(bob), others)


def post(port, ticket, entry):
    """A submission by whoever has this ticket, from no window that we look at."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Cookie": f"__Host-session={ticket}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/", urllib.parse.urlencode({"entry": entry}), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def long_history(report, history, bob):
    """Longer than a header can be: the application asks the proxy for it."""
    before = entries(bob)
    pages = [f"page {n} " + "long " * 190 for n in range(8)]
    for text in pages:
        keep(bob, text)
    report.equal("a history longer than a header is shown whole", entries(bob), before + [text.strip() for text in pages])


def forget(report, history, alice, bob):
    kept, ticket = entries(bob), alice.ticket()
    alice.follow("#forget")
    report.equal("who asks to be forgotten begins anew", entries(alice), [])
    report.check("with another cookie", alice.ticket() not in (None, ticket))
    keep(alice, "again")
    report.equal("and is remembered from then on", entries(alice), ["again"])
    bob.open(history.url)
    report.equal("the other one did not notice", entries(bob), kept)
