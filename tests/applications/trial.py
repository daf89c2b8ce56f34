"""A day of logs, as docs/legacy.md tells it: DokuWiki without a vault and then with one, and what the commands say."""

import re
import shutil

from document import commands
from dokuwiki import DokuWiki
from flows import sign_in
from proxy import Cloakroom

LISTENING = ["--log-format", "json", "--log", "info,cloakroom::cookies=debug"]


def walk(report, stage, redis, binary, new_browser):
    app = DokuWiki(stage)
    app.start()
    plain = re.sub(r"^vault = .*\n?", "", app.config, flags=re.MULTILINE)
    before = Cloakroom(stage, redis, binary, "before", plain, app.port)
    before.start(*LISTENING)
    alice = new_browser()
    a_day(app, before.base, alice)
    before.end()
    without_a_vault(report, Commands(stage, before.log), before)
    after = Cloakroom(stage, redis, binary, "after", app.config, app.port)
    after.start(*LISTENING)
    # The browser has its cookies still: they know no ports.
    report.equal("with the vault everybody is signed out once", app.who(alice, after.base), None)
    a_day(app, after.base, alice)
    after.end()
    with_the_vault(report, Commands(stage, after.log))


def a_day(app, base, alice):
    sign_in(app, alice, base, "alice")
    for text in "a page", "a longer page":
        app.work(alice, base, "alice", text)
    alice.open(f"{base}/dokuwiki/doku.php?id=alice&do=edit")
    alice.click("#size__ctl img")
    app.who(alice, base)
    app.sign_out(alice, base)


class Commands:
    """Runs the guide's commands where the log is."""

    def __init__(self, stage, log):
        self.stage, self.folder = stage, stage.path / f"{log.stem}-day"
        self.folder.mkdir()
        shutil.copy(log, self.folder / "cloakroom.log")

    def say(self, beginning):
        command = next(command for first, command in commands().items() if first.startswith(beginning))
        return self.stage.call(["bash", "-c", f"cd {self.folder}; {command}\ntrue"])


def without_a_vault(report, commands, proxy):
    outcomes = {event["outcome"] for event in proxy.events() if event.get("target") == "cloakroom::access"}
    report.equal("without a vault no session is made", outcomes, {"none"})
    told = commands.say("what the application sets")
    report.check("a day of logs names the session", '"name":"DokuWiki","to":"browser","path":"/dokuwiki/","until":"closing"' in told, told)
    report.check("and the log-in, set and deleted", re.search(r'"name":"DW\w+".*"closing"', told) and re.search(r'"name":"DW\w+".*"now"', told), told)
    report.equal("and what scripts set", commands.say("what browsers send").split(), ['"name":"DOKU_PREFS"'])
    report.equal("and that there are no ids in paths", commands.say("ids in paths"), "")
    forms = commands.say("where forms")
    report.check("and where forms go", '"path":"/dokuwiki/doku.php"' in forms, forms)


def with_the_vault(report, commands):
    fresh = commands.say("new tickets").split()
    report.equal("tickets are new at a log-in and nowhere else", fresh, ["1", '"path":"/dokuwiki/doku.php"'])
    report.equal("nobody is refused", commands.say("refused").strip(), "0")
    leftovers = commands.say("cookies taken")
    report.check("leftovers are told", '"name":"DokuWiki"' in leftovers and "DOKU_PREFS" not in leftovers, leftovers)
    forms = commands.say("forms that came")
    report.equal("every form came with its session", forms, "")
