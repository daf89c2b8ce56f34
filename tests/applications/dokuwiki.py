"""DokuWiki from Debian on Apache: people edit the pages of a wiki. It keeps its session in the cookie `DokuWiki`, the
log-in in one whose name begins with `DW`, and what its scripts remember in `DOKU_PREFS`."""

from apache import Apache
from document import changed, files
from flows import sign_in
from wire import signed_in

# "Walrus-1"
USERS = """# <?php exit()?>
alice:$2y$05$Lam.VeF0s0V3YbqN3HIAKO1gr4CR6iwPm5cKWiluzRwYKi62IFPgq:Alice:alice@example.com:user
bob:$2y$05$Lam.VeF0s0V3YbqN3HIAKO1gr4CR6iwPm5cKWiluzRwYKi62IFPgq:Bob:bob@example.com:user
"""
RIGHTS = "# <?php exit()?>\n*\t@ALL\t1\n*\t@user\t8\n"
DATA = "attic cache index locks log media media_attic media_meta meta pages tmp"


class DokuWiki:
    name = "DokuWiki"
    page = "/dokuwiki/doku.php?id=start"
    people = {"alice": "Walrus-1", "bob": "Walrus-1"}
    works_after_restart = True
    remembers = True
    signed_in_after_closing = False

    def __init__(self, stage):
        given = files(self.name)
        home = stage.path / "dokuwiki"
        settings = f'php_admin_value auto_prepend_file {home}/conf/site.php'
        self.config = given["cloakroom.toml"]
        self.apache = Apache(stage, "dokuwiki", "/etc/dokuwiki/apache.conf", settings)
        self.port = self.apache.port
        for name in DATA.split():
            (home / "data" / name).mkdir(parents=True)
        conf = home / "conf"
        conf.mkdir()
        (conf / "site.php").write_text(f"<?php define('DOKU_CONF', '{conf}/');\n")
        (conf / "local.php").write_text(changed(given["local.php"], {"/var/lib/dokuwiki/data": home / "data"}))
        (conf / "users.auth.php").write_text(USERS)
        (conf / "acl.auth.php").write_text(RIGHTS)
        self.apache.hand_over()
        self.start, self.restart = self.apache.start, self.apache.restart

    def who(self, browser, base):
        browser.open(base + self.page)
        return self.named(browser)

    def named(self, browser):
        return browser.text("#dokuwiki__usertools .user bdi:last-of-type") if browser.shows("#dokuwiki__usertools .user") else None

    def sign_in(self, browser, base, user, password, remember=False):
        browser.open(f"{base}/dokuwiki/doku.php?id=start&do=login")
        browser.fill("#dw__login input[name=u]", user)
        browser.fill("#dw__login input[name=p]", password)
        if remember:
            browser.click("#dw__login input[name=r][type=checkbox]")
        browser.follow("#dw__login button[type=submit]")

    def work(self, browser, base, user, text):
        """Edits a page of one's own."""
        browser.open(f"{base}/dokuwiki/doku.php?id={user}&do=edit")
        browser.fill("#wiki__text", text)
        browser.follow("#edbtn__save")

    def done(self, browser, base, user):
        browser.open(f"{base}/dokuwiki/doku.php?id={user}")
        return browser.text("#dokuwiki__content .page p")

    def sign_out(self, browser, base):
        browser.open(base + self.page)
        browser.follow("#dokuwiki__usertools .logout")

    def cookies(self, base, user):
        """Those of a log-in without a browser."""
        return signed_in(base + "/dokuwiki/doku.php?id=start&do=login", {"u": user, "p": self.people[user]})

    def greeting(self, user):
        return f"<bdi>{user.title()}</bdi>"

    def promises(self, report, proxy, browser):
        """What its scripts remember they keep in a cookie of their own, which is not vaulted."""
        sign_in(self, browser, proxy.base, "alice")
        editor = f"{proxy.base}/dokuwiki/doku.php?id=alice&do=edit"
        browser.open(editor)
        height = "return document.querySelector('#wiki__text').style.height"
        browser.click("#size__ctl img")
        wanted = browser.script(height)
        browser.open(editor)
        report.equal("what a script of it remembers in a cookie it finds again", browser.script(height), wanted)
        names = sorted(cookie["name"] for cookie in browser.cookies())
        report.equal("that cookie is the only one beside ours", names, ["DOKU_PREFS", "__Host-session"])
