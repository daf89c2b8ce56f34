"""Tomcat's examples from Debian: people sign in by its form and put attributes into their session. It keeps that in the
cookie `JSESSIONID`, and for who sends none in every link as well, unless it is told not to."""

import json
import pathlib
import re
import shutil

from document import changed, files
from stage import free_port
from wire import get, signed_in

# Quick to start; nothing here runs long enough for the better compiler.
JAVA = "-Djava.awt.headless=true -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
HOME = pathlib.Path("/usr/share/tomcat10")
# The examples say nothing of their user: a header of all pages of theirs (`DENY`) stands for one that would.
TELLING = 'capture = { X-Frame-Options = "/user/name" }\ninject = { X-Remote-User = "/user/name" }\nvault = {'
EXAMPLES = "/etc/tomcat10/Catalina/localhost/examples.xml"


class Tomcat:
    name = "Tomcat"
    page = "/examples/jsp/security/protected/index.jsp"
    people = {"alice": "Walrus-1", "bob": "Walrus-2"}
    works_after_restart = True
    remembers = False
    signed_in_after_closing = False

    def __init__(self, stage):
        given, self.stage, self.port, self.base = files(self.name), stage, free_port(), stage.path / "tomcat"
        self.config = given["cloakroom.toml"]
        for folder in "bin", "lib", "logs", "temp", "webapps", "work":
            (self.base / folder).mkdir(parents=True)
        conf = self.base / "conf"
        shutil.copytree(HOME / "etc", conf)
        (conf / "Catalina" / "localhost").mkdir(parents=True)
        shutil.copy(EXAMPLES, conf / "Catalina" / "localhost")
        (conf / "tomcat-users.xml").write_text(given["tomcat-users.xml"])
        self.replace(conf / "server.xml", "Connector", changed(given["server.xml"], {"8081": self.port}))
        self.replace(conf / "web.xml", "session-config", given["web.xml"])
        self.replace(conf / "context.xml", "/Context", given["context.xml"] + "</Context>")

    @staticmethod
    def replace(file, element, text):
        """Writes `text` in place of the first such element that is not in a comment."""
        parts = re.split(r"(<!--.*?-->)", file.read_text(), flags=re.DOTALL)
        pattern = rf"<{element}\b[^>]*/>|<{element}\b.*?</{element}>|<{element}>"
        place = next(at for at, part in enumerate(parts) if not part.startswith("<!--") and f"<{element}" in part)
        parts[place] = re.sub(pattern, lambda _: text, parts[place], count=1, flags=re.DOTALL)
        file.write_text("".join(parts))

    def start(self):
        environment = {"CATALINA_HOME": str(HOME), "CATALINA_BASE": str(self.base), "JAVA_OPTS": JAVA}
        self.program = self.stage.start("tomcat", [HOME / "bin" / "catalina.sh", "run"], self.port, **environment)

    def restart(self):
        self.program.end()
        self.start()

    def who(self, browser, base):
        browser.open(base + self.page)
        return self.named(browser)

    def named(self, browser):
        return None if browser.shows("input[name=j_username]") or not browser.shows("b") else browser.text("b")

    def sign_in(self, browser, base, user, password, remember=False):
        browser.open(base + self.page)
        browser.fill("input[name=j_username]", user)
        browser.fill("input[name=j_password]", password)
        browser.follow("input[type=submit]")

    def work(self, browser, base, user, text):
        """Puts an attribute into the session."""
        browser.open(base + self.page)
        browser.fill("input[name=dataName]", "note")
        browser.fill("input[name=dataValue]", text)
        browser.follow("input[name=dataValue] ~ input[type=submit]")

    def done(self, browser, base, user):
        browser.open(base + self.page)
        return browser.text("body")

    def sign_out(self, browser, base):
        browser.open(base + self.page)
        browser.follow("a[href*=logoff]")

    def cookies(self, base, user):
        """Those of a log-in without a browser."""
        form = {"j_username": user, "j_password": self.people[user]}
        return signed_in(base + self.page, form, to="j_security_check")

    def greeting(self, user):
        return f"remote user\n<b>{user}</b>"

    def promises(self, report, proxy, browser):
        """What only it can show: ids in links, and every header that arrives."""
        genuine = self.cookies(f"http://127.0.0.1:{self.port}", "bob").partition("=")[2]
        status, text = get(proxy.port, f"{self.page};jsessionid={genuine}")
        report.check("the id of a session in a link opens nothing", self.greeting("bob") not in text, status)
        telling = proxy.another("telling", changed(self.config, {"vault = {": TELLING}))
        arriving(report, telling)
        telling.end()


def arriving(report, proxy):
    """What a page sees that prints every header of its request, here with a header made of what another page said."""
    known = {"Cookie": signed_in(f"{proxy.base}/examples/index.html")}
    seen = headers(proxy, **known)
    report.equal("a header that is injected arrives", seen.get("x-remote-user"), "DENY")
    for spelling in "X-Remote-User", "X_Remote_User", "x.remote.user":
        forged = {spelling: "root", "Connection": spelling, "X_Session": "forged"}
        again = headers(proxy, **known, **forged)
        told = [name for name in again if re.fullmatch("x.(remote.user|session)", name)]
        report.equal(f"beside a forged {spelling} the same arrives", (again["x-remote-user"], sorted(told)), ("DENY", ["x-remote-user", "x-session"]))
        nobody = headers(proxy, **forged)
        report.check("and without a session none", not {"root", "forged"} & set(nobody.values()) and "x-remote-user" not in nobody, nobody)
    made_up = headers(proxy, Cookie="JSESSIONID=forged; theme=dark")
    report.equal("of cookies that a client makes up those arrive that are not vaulted", made_up.get("cookie"), "theme=dark")


def headers(proxy, **sent):
    text = get(proxy.port, "/examples/servlets/servlet/RequestHeaderExample", Accept="application/json", **sent)[1]
    return {name.lower(): value for pair in json.loads(text) for name, value in pair.items()}
