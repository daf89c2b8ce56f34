"""What people do with an application, the same with and without Cloakroom before it.

An application is an object that starts and restarts its program and knows how a person signs in, works and signs out
there; what it says of itself (`works_after_restart`, `signed_in_after_closing`, ...) is so in both cases.
"""


def walk(report, app, base, watch, new_browser):
    """All flows against one address. `watch(browser)` looks at what the browser holds after each step."""
    alice, bob = new_browser(), new_browser()
    signing_in(report, app, base, watch, alice, bob)
    working(report, app, base, watch, alice, bob)
    restarting(report, app, base, watch, alice)
    closing(report, app, base, watch, new_browser)
    signing_out(report, app, base, watch, alice, bob)
    alice.close()
    bob.close()


def sign_in(app, browser, base, user, remember=False):
    app.sign_in(browser, base, user, app.people[user], remember)


def signing_in(report, app, base, watch, alice, bob):
    report.equal("nobody is signed in at first", app.who(alice, base), None)
    watch(alice)
    app.sign_in(alice, base, "alice", "not her password", False)
    report.equal("a wrong password opens nothing", app.who(alice, base), None)
    for browser, user in (alice, "alice"), (bob, "bob"):
        sign_in(app, browser, base, user)
        watch(browser)
        report.equal(f"{user} signs in", app.who(browser, base), user)
    report.equal("and each is who they are", (app.who(alice, base), app.who(bob, base)), ("alice", "bob"))


def working(report, app, base, watch, alice, bob):
    for text in "first hats", "second hats":
        app.work(alice, base, "alice", text)
        app.work(bob, base, "bob", text.replace("hats", "scarves"))
    for browser in alice, bob:
        watch(browser)
    seen = app.done(alice, base, "alice"), app.done(bob, base, "bob")
    report.check("one finds what she did", "second hats" in seen[0] and "scarves" not in seen[0], seen[0])
    report.check("and the other what he did", "second scarves" in seen[1] and "hats" not in seen[1], seen[1])


def restarting(report, app, base, watch, alice):
    app.restart()
    wanted = "alice" if app.works_after_restart else None
    report.equal("the application is restarted: she is still signed in", app.who(alice, base), wanted)
    app.work(alice, base, "alice", "third hats")
    watch(alice)
    report.check("and goes on working", "third hats" in app.done(alice, base, "alice"))


def closing(report, app, base, watch, new_browser):
    """What outlives the browser, and what does not."""
    carol = new_browser()
    sign_in(app, carol, base, "alice")
    carol.reopen()
    wanted = "alice" if app.signed_in_after_closing else None
    report.equal("a closed browser is " + ("still signed in" if wanted else "signed out"), app.who(carol, base), wanted)
    watch(carol)
    if app.remembers:
        sign_in(app, carol, base, "alice", remember=True)
        carol.reopen()
        report.equal("but who wants to be remembered is", app.who(carol, base), "alice")
        watch(carol)
    elif not wanted:
        sign_in(app, carol, base, "alice")
    app.sign_out(carol, base)
    carol.reopen()
    report.equal("and forgotten after signing out", app.who(carol, base), None)
    carol.close()


def signing_out(report, app, base, watch, alice, bob):
    app.sign_out(alice, base)
    watch(alice)
    report.equal("she signs out", app.who(alice, base), None)
    report.equal("and the other does not notice", app.who(bob, base), "bob")
    sign_in(app, alice, base, "alice")
    report.equal("she comes back", app.who(alice, base), "alice")
    watch(alice)
    app.sign_out(alice, base)
    app.sign_out(bob, base)
    report.equal("and both are gone", (app.who(alice, base), app.who(bob, base)), (None, None))
