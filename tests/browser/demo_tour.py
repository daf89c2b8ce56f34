"""The tour through `cloakroom demo`: what a newcomer sees in the first minute, in light, in dark and on a phone."""

NAME = '<script>alert("Zoë")</script>'


def walk(report, stage, binary, port, screenshots, new_browser):
    program = stage.start("demo", [binary, "demo", "--listen", f"127.0.0.1:{port}"], port)
    url = f"http://127.0.0.1:{port}/"
    light, dark = new_browser(), new_browser(dark=True)
    first_visits(report, url, light, dark)
    carts(report, light, dark)
    light.photograph(screenshots / "cart-light.png")
    sign_in(report, light)
    light.photograph(screenshots / "signed-in-light.png")
    dark.type("#name", "Alice")
    dark.follow("#sign-in")
    dark.photograph(screenshots / "signed-in-dark.png")
    phone(report, url, screenshots, new_browser(width=390, height=844))
    sign_out(report, light)
    light.photograph(screenshots / "goodbye-light.png")
    report.equal("the other browser is still signed in", dark.text("#who"), "Alice")
    report.equal("no browser had anything to complain about", light.complaints() + dark.complaints(), [])
    report.equal("the demo stops at SIGTERM with exit code 0", program.end(), 0)


def first_visits(report, url, light, dark):
    light.open(url)
    report.equal("the first visit is counted", light.text("#visits"), "1")
    report.check("and shows the update that creates the session", '{"visits":1}' in light.text("#answered"))
    light.open(url)
    dark.open(url)
    dark.open(url)
    report.equal("the second visit is number 2", light.text("#visits"), "2")
    numbers = light.text("#ticket .number"), dark.text("#ticket .number")
    report.check("two browsers have two tickets", numbers[0] != numbers[1], numbers)
    report.equal("scripts do not see the cookie", light.script("return document.cookie"), "")
    report.check("and neither does the page", light.ticket() and light.ticket() not in light.source())


def carts(report, light, dark):
    for button in "#add-hat", "#add-hat", "#add-scarf":
        light.follow(button)
    dark.follow("#add-umbrella")
    report.check("one cart holds two hats and a scarf", "2 ×\nFelt hat\n€ 116" in light.text("#cart"), light.text("#cart"))
    report.equal("and the sum is right", light.text("#total"), "152")
    report.check("the other cart holds an umbrella", "Umbrella" in dark.text("#cart"))
    report.check("and no hat", "hat" not in dark.text("#cart"))
    report.check("the page shows what the form was answered", '{"cart":{"scarf":1}}' in light.text("#form-step"))
    light.follow("#remove-hat")
    report.check("one hat goes back", "1 ×\nFelt hat\n€ 58" in light.text("#cart"), light.text("#cart"))
    dark.follow("#empty-cart")
    report.check("emptying a cart empties it", "Nothing yet" in dark.text("#cart"))
    dark.follow("#add-mittens")


def sign_in(report, light):
    before = light.ticket()
    light.type("#name", NAME)
    light.follow("#sign-in")
    report.equal("a name is text, whatever it looks like", light.text("#who"), NAME)
    report.check("signing in changes the cookie", light.ticket() not in (None, before))
    report.check("the page shows the control that did it", "rotate, subject=" in light.text("#form-step"))
    received = light.text("#received")
    report.check("the token that arrived", all(word in received for word in ("X-Session:", '"alg": "HS256"', "bytes")), received)
    token = light.text("#claims")
    report.check("its claims", all(f'"{name}"' in token for name in ("iss", "aud", "exp", "sid", "ver", "sub", "data")), token)
    report.check("and the update that goes back", 'X-Session-Update: {"visits":' in light.text("#answered"))
    report.check("a cart outlives signing in", "Felt hat" in light.text("#cart"))


def phone(report, url, screenshots, browser):
    browser.open(url)
    browser.follow("#add-umbrella")
    width = browser.script("return [document.documentElement.scrollWidth, innerWidth]")
    report.check("on a phone nothing sticks out sideways", width[0] <= width[1], width)
    browser.photograph(screenshots / "phone-light.png")
    browser.close()


def sign_out(report, light):
    ticket, url = light.ticket(), light.script("return location.origin")
    light.follow("#sign-out")
    report.check("signing out says goodbye", light.shows("#goodbye"))
    report.equal("and leaves no cookie", light.cookies(), [])
    light.put_ticket(url, ticket)
    light.open(url + "/goodbye")
    report.check("the old cookie, put back by hand, opens nothing", '"sid"' not in light.text("#claims"), light.text("#claims"))
