"""A Django project as `startproject` makes it, under gunicorn: people add groups in its admin. It keeps its session in the
cookie `sessionid` for two weeks, and guards its forms with `csrftoken`."""

import itertools
import os
import pathlib
import sys

from document import changed, files
from stage import ROOT, free_port
from wire import post, signed_in

PACKAGES = ["Django==4.2.30", "gunicorn==27.0.1", "whitenoise==6.12.0"]
ENVIRONMENT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "applications" / "django"


def installed(stage):
    """The folder of the programs, with everything in it."""
    if not (ENVIRONMENT / "bin" / "gunicorn").exists():
        stage.call([sys.executable, "-m", "venv", ENVIRONMENT])
        stage.call([ENVIRONMENT / "bin" / "pip", "install", "--quiet", "--only-binary", ":all:", *PACKAGES])
    return ENVIRONMENT / "bin"


class DjangoAdmin:
    name = "Django"
    page = "/admin/"
    people = {"alice": "Walrus-1", "bob": "Walrus-2"}
    works_after_restart = True
    remembers = False
    signed_in_after_closing = True

    def __init__(self, stage):
        given, self.stage, self.port = files(self.name), stage, free_port()
        self.config, self.bin, self.folder = given["cloakroom.toml"], installed(stage), stage.path / "django"
        self.numbers = itertools.count(1)
        self.folder.mkdir()
        stage.call([self.bin / "django-admin", "startproject", "mysite", self.folder])
        settings = self.folder / "mysite" / "settings.py"
        wanted = changed(given["settings.py"], {"www.example.com": "127.0.0.1"})
        settings.write_text(settings.read_text() + "\n" + wanted)
        self.manage("migrate")
        self.manage("collectstatic", "--noinput")
        for user, password in self.people.items():
            words = ["createsuperuser", "--noinput", "--username", user, "--email", f"{user}@example.com"]
            self.manage(*words, DJANGO_SUPERUSER_PASSWORD=password)

    def manage(self, *words, **environment):
        self.stage.call([self.bin / "python", self.folder / "manage.py", *words], **environment)

    def start(self):
        command = [self.bin / "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--chdir", self.folder, "--threads", "8"]
        self.program = self.stage.start("django", [*command, "mysite.wsgi"], self.port)

    def restart(self):
        self.program.end()
        self.start()

    def who(self, browser, base):
        browser.open(base + self.page)
        return self.named(browser)

    def named(self, browser):
        return browser.script("return (document.querySelector('#user-tools strong') || {}).textContent || null")

    def sign_in(self, browser, base, user, password, remember=False):
        browser.open(base + self.page)
        browser.fill("#id_username", user)
        browser.fill("#id_password", password)
        browser.follow("#login-form input[type=submit]")

    def work(self, browser, base, user, text):
        """Adds a group; names of groups are unique."""
        browser.open(f"{base}/admin/auth/group/add/")
        browser.fill("#id_name", f"{text} {next(self.numbers)}")
        browser.follow("input[name=_save]")

    def done(self, browser, base, user):
        """What one has done oneself."""
        browser.open(base + self.page)
        return browser.text("#recent-actions-module")

    def sign_out(self, browser, base):
        browser.open(base + self.page)
        browser.follow("#logout-form button")

    def cookies(self, base, user):
        """Those of a log-in without a browser."""
        form = {"username": user, "password": self.people[user], "next": self.page}
        return signed_in(f"{base}/admin/login/", form, "csrfmiddlewaretoken")

    def greeting(self, user):
        return f"<strong>{user}</strong>"

    def promises(self, report, proxy, browser):
        """Django's guard of forms compares a cookie with a field: whoever can plant the one knows the other."""
        token, form = "x" * 32, {"username": "bob", "password": self.people["bob"]}
        form["csrfmiddlewaretoken"] = token
        planted = {"Cookie": f"csrftoken={token}"}
        report.equal("past the proxy a planted guard lets a form in", post(self.port, "/admin/login/?next=/admin/", form, **planted), 302)
        report.equal("through it the form is refused", post(proxy.port, "/admin/login/?next=/admin/", form, **planted), 403)
