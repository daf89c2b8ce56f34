"""Requests without a browser: what a script of somebody's sends."""

import http.client
import http.cookiejar
import re
import urllib.parse
import urllib.request

AGENT = {"User-Agent": "Mozilla/5.0"}


def get(port, path, **headers):
    """Status and text of an answer."""
    return ask(port, "GET", path, None, headers)


def post(port, path, form, **headers):
    """The status of the answer to a form."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return ask(port, "POST", path, urllib.parse.urlencode(form), headers)[0]


def ask(port, method, path, body, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {**AGENT, **headers})
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


class Anywhere(http.cookiejar.DefaultCookiePolicy):
    """Sends `Secure` cookies to this machine without TLS, as browsers do."""

    def return_ok_secure(self, cookie, request):
        return True


def signed_in(url, form=None, *hidden, to=None):
    """The cookies after a page was seen and its log-in form was sent, if there is one; `hidden`: fields of the form that
    go back as they came; `to`: where it goes, if not to where it came from."""
    jar = http.cookiejar.CookieJar(Anywhere())
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.addheaders = list(AGENT.items())
    page = opener.open(url, timeout=30).read().decode()
    for name in hidden:
        form = {**form, name: re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)[1]}
    if form:
        target = urllib.parse.urljoin(url, to or url)
        opener.open(target, urllib.parse.urlencode(form).encode(), timeout=30).read()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
