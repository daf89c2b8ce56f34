"""phpMyAdmin from Debian on Apache, before a MariaDB of our own: people run queries. It keeps its session in the cookie
`phpMyAdmin`, and name and password, encrypted anew in every answer, in `pmaUser-1` and `pmaAuth-1`."""

from apache import Apache
from document import files
from flows import sign_in
from mariadb import MariaDB
from stage import eventually
from wire import signed_in

DATABASE = """
CREATE DATABASE {user}s;
CREATE TABLE {user}s.notes (text VARCHAR(80));
CREATE USER {user} IDENTIFIED BY '{password}';
GRANT ALL ON {user}s.* TO {user};
"""


class PhpMyAdmin:
    name = "phpMyAdmin"
    page = "/phpmyadmin/index.php?route=/"
    people = {"alice": "Walrus-1", "bob": "Walrus-2"}
    works_after_restart = True
    remembers = False
    signed_in_after_closing = False

    def __init__(self, stage):
        self.config = files(self.name)["cloakroom.toml"]
        folder = stage.path / "database"
        folder.mkdir()
        stage.path.chmod(0o755)
        database = MariaDB(stage, folder)
        for user, password in self.people.items():
            database.run(DATABASE.format(user=user, password=password))
        settings = f"php_admin_value mysqli.default_socket {database.socket}"
        self.apache = Apache(stage, "phpmyadmin", "/etc/phpmyadmin/apache.conf", settings)
        self.port = self.apache.port
        self.start, self.restart = self.apache.start, self.apache.restart

    def who(self, browser, base):
        browser.open(base + self.page)
        return self.named(browser)

    def named(self, browser):
        return browser.script("return window.CommonParams && !document.querySelector('#login_form') ? CommonParams.get('user') : null")

    def sign_in(self, browser, base, user, password, remember=False):
        browser.open(base + self.page)
        browser.fill("#input_username", user)
        browser.fill("#input_password", password)
        browser.follow("#input_go")

    def work(self, browser, base, user, text):
        """Runs a query in one's own database."""
        browser.open(f"{base}/phpmyadmin/index.php?route=/database/sql&db={user}s")
        browser.script(f"codeMirrorEditor.setValue(\"INSERT INTO notes VALUES ('{text}')\")")
        browser.click("#button_submit_query")
        eventually(lambda: browser.script("return (document.querySelector('#sqlqueryresultsouter') || {innerText: ''}).innerText.includes('1 row inserted')"), "the answer to a query")

    def done(self, browser, base, user):
        browser.open(f"{base}/phpmyadmin/index.php?route=/sql&db={user}s&table=notes&pos=0")
        return browser.text("table.table_results tbody")

    def sign_out(self, browser, base):
        browser.open(base + self.page)
        browser.follow("#pma_navigation a.logout")

    def cookies(self, base, user):
        """Those of a log-in without a browser."""
        form = {"pma_username": user, "pma_password": self.people[user], "server": "1"}
        return signed_in(base + self.page, form, "set_session", "token")

    def greeting(self, user):
        return f'user:"{user}"'

    def promises(self, report, proxy, browser):
        """Its pages ask for several things at once, each with new values for the cookies of the log-in."""
        sign_in(self, browser, proxy.base, "bob")
        ticket = browser.ticket()
        browser.open(f"{proxy.base}/phpmyadmin/index.php?route=/&lang=de")
        report.equal("a language that is chosen is kept", browser.script("return document.documentElement.lang"), "de")
        for _ in range(3):
            report.equal("many answers later he is still signed in", self.who(browser, proxy.base), "bob")
        report.equal("with the ticket of the log-in", browser.ticket(), ticket)
        report.equal("and his language", browser.script("return document.documentElement.lang"), "de")
