"""A browser with a profile of its own, driven over W3C WebDriver: as much of it as a person's hands and eyes do.

Nothing here waits by sleeping: a click that leads to another page returns when that page has loaded.
"""

import base64
import json
import tempfile
import urllib.error
import urllib.request

from stage import eventually

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
).split()


class WebDriverError(Exception):
    pass


class Browser:
    """One Chromium with an empty profile. `driver` is the address of a chromedriver."""

    def __init__(self, driver, width=1280, height=900, dark=False):
        self.profile = tempfile.TemporaryDirectory(prefix="cloakroom-browser-", ignore_cleanup_errors=True)
        self.driver, self.width, self.height = driver, width, height
        self.scheme = "dark" if dark else "light"
        self._launch()

    def _launch(self):
        width, height, self.session = self.width, self.height, self.driver + "/session"
        options = {"args": [*FLAGS, f"--user-data-dir={self.profile.name}", f"--window-size={width},{height}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        created = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self.session += "/" + created["sessionId"]
        self._devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self._devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": self.scheme}])

    def reopen(self):
        """Closes the browser and opens it again: what was to end with it has ended."""
        self._call("DELETE", "")
        self._launch()

    def open(self, url):
        self._call("POST", "/url", {"url": url})

    def follow(self, css):
        """Clicks on what leads to another page, and waits for that page."""
        self.script("window.leaving = true")
        self.click(css)
        eventually(lambda: self.script("return !window.leaving && document.readyState == 'complete'"), f"a new page after {css}")

    def press(self, key):
        """One key, wherever the focus is: Tab, Shift+Tab, Enter, Escape."""
        codes = {"Tab": "\ue004", "Shift": "\ue008", "Enter": "\ue007", "Escape": "\ue00c"}
        keys = [codes[name] for name in key.split("+")]
        downs = [{"type": "keyDown", "value": code} for code in keys]
        ups = [{"type": "keyUp", "value": code} for code in reversed(keys)]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": downs + ups}]})

    def type(self, css, text):
        self._call("POST", f"/element/{self._find(css)}/value", {"text": text})

    def fill(self, css, text):
        """Types into a field in place of what is there."""
        self._call("POST", f"/element/{self._find(css)}/clear", {})
        self.type(css, text)

    def click(self, css):
        """Clicks on what leads nowhere else."""
        self._call("POST", f"/element/{self._find(css)}/click", {})

    def text(self, css):
        """What a person reads there."""
        return self._call("GET", f"/element/{self._find(css)}/text")

    def shows(self, css):
        return bool(self._call("POST", "/elements", {"using": "css selector", "value": css}))

    def script(self, code):
        return self._call("POST", "/execute/sync", {"script": code, "args": []})

    def source(self):
        return self._call("GET", "/source")

    def cookies(self):
        """All cookies of the page, also those that its scripts cannot see."""
        return self._call("GET", "/cookie")

    def ticket(self, name="__Host-session"):
        """The value of our cookie, if there is one."""
        return next((cookie["value"] for cookie in self.cookies() if cookie["name"] == name), None)

    def put_ticket(self, url, value, name="__Host-session"):
        """Writes our cookie by hand, as a thief would."""
        cookie = {"url": url, "name": name, "value": value, "path": "/", "secure": True, "httpOnly": True, "sameSite": "Lax"}
        if not self._devtools("Network.setCookie", **cookie)["success"]:
            raise WebDriverError("the browser did not take the cookie")

    def complaints(self):
        """Errors in the browser's console since the last question."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def photograph(self, path):
        """The whole page as a PNG."""
        size = self._devtools("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self._devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self):
        try:
            self._call("DELETE", "")
        except (WebDriverError, OSError):
            pass  # it crashed, or the driver is gone: stage.py ends what is left
        self.profile.cleanup()

    def _find(self, css):
        return next(iter(self._call("POST", "/element", {"using": "css selector", "value": css}).values()))

    def _devtools(self, command, **params):
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.session + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            fault = json.load(error)["value"]
            raise WebDriverError(f"{method} {path} {body}: {fault['error']}: {fault['message']}") from None
