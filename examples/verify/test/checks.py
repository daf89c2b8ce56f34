"""Feeds genuine and forged tokens to every verifier and checks every verdict. Started by ../run."""

import contextlib
import json
import pathlib
import signal
import sys
import tempfile
import time
from decimal import Decimal

from forgeries import decode, expired, forgeries, key, tampered
from stage import Application, Browser, Proxy, Publisher, Verifier, eventually, serving

HERE = pathlib.Path(__file__).resolve().parent.parent
DATA = (
    '{"name":"Zoë ☃ 🦀","big":12345678901234567890123,"price":1.10,"pi":3.14159265358979323846,'
    '"empty":{},"exp":0,"list":[null,true]}'
)


def commands(cache):
    jars = ":".join(f"{cache}/debian/usr/share/java/{name}.jar" for name in ("jose4j", "slf4j-api", "slf4j-nop"))
    return {
        "python": [cache / "python/bin/python", HERE / "python/verify.py"],
        "node": ["node", cache / "node/verify.mjs"],
        "php": ["php", "-d", "apc.enable_cli=1", "-d", "display_errors=stderr", HERE / "php/verify.php"],
        "java": ["java", "-XX:+UseSerialGC", "-cp", f"{cache}/java:{jars}", "Verify"],
        "go": [cache / "go-verify"],
    }


def php_integer(text):
    return int(text) if -(2**63) <= int(text) < 2**63 else text


# What a number is once each language's usual JSON reader had it.
NUMBERS = {
    "python": {},
    "node": {"parse_int": float},
    "php": {"parse_int": php_integer},
    "java": {"parse_float": Decimal},
    "go": {"parse_float": Decimal},
}


class Report:
    passed = failed = 0

    def check(self, what, good, seen=""):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print(f"{'ok  ' if good else 'FAIL'} {what}" + ("" if good else f": {seen}"), flush=True)

    def equal(self, what, seen, wanted):
        self.check(what, seen == wanted, f"{seen!r} instead of {wanted!r}")


class Scene:
    """One algorithm: a proxy, and a verifier in each language."""

    def __init__(self, report, binary, cache, folder, algorithm, application, publisher, stack):
        self.report, self.algorithm, self.publisher = report, algorithm, publisher
        self.proxy = Proxy(binary, folder, algorithm, application)
        stack.callback(self.proxy.stop)
        publisher.RequestHandlerClass.origin = self.proxy.jwks()
        publisher.RequestHandlerClass.asked = self.asked = {}
        self.published_at = f"http://127.0.0.1:{publisher.server_port}"
        log = stack.enter_context(open(folder / "verifiers.log", "ab"))
        self.verifiers = {}
        for language, command in commands(cache).items():
            sources = [f"{name}={self.proxy.key(name)}" for name in ("k1", "k2")]
            if algorithm != "HS256":
                sources = [f"{self.published_at}/{language}"]
            verifier = Verifier([*command, algorithm, *sources], log, JWT_AUTOLOAD=str(cache / "autoload.php"))
            stack.callback(verifier.stop)
            self.verifiers[language] = verifier

    def accepted(self, what, token):
        payload = decode(token.split(".")[1])
        for language, verify in self.verifiers.items():
            verdict, _, claims = verify(token).partition(" ")
            name = f"{self.algorithm} {language}: accepted, with every claim: {what}"
            if verdict != "ok":
                self.report.check(name, False, f"{verdict} {claims}")
                continue
            self.report.equal(name, json.loads(claims, **NUMBERS[language]), json.loads(payload, **NUMBERS[language]))

    def refused(self, what, *tokens):
        for language, verify in self.verifiers.items():
            verdicts = {verify(token) for token in tokens}
            wrong = [verdict for verdict in verdicts if not verdict.startswith("refused: ")]
            self.report.check(f"{self.algorithm} {language}: refused: {what}", not wrong, wrong)

    def asked_for_keys(self, what, times):
        if self.algorithm != "HS256":
            for language in self.verifiers:
                seen = self.asked.get(f"/{language}", 0)
                self.report.check(f"{self.algorithm} {language}: asked for keys {what}", seen in times, f"{seen} times")


def play(scene):
    genuine(scene)
    live = rotation(scene)
    tampering(scene, live)
    by_reference(scene)


def genuine(scene):
    scene.proxy.start("k1", "k2")
    browser = Browser(scene.proxy)
    scene.accepted("a visitor without a session", browser.token(update=DATA.encode().decode("latin-1")))
    live = browser.token(control='rotate, subject=%"Zo%c3%ab"')
    payload = decode(live.split(".")[1]).decode()
    scene.report.check(f"{scene.algorithm} proxy: the data is in the token to the letter", f'"data":{DATA}}}' in payload, payload)
    scene.accepted("a live session, with Unicode and long numbers", live)
    scene.accepted("a session with a subject", browser.token())
    scene.refused("a genuine token for another application", browser.token("/other"))
    scene.asked_for_keys("once for all of these", [1])
    scene.k1 = live


def rotation(scene):
    """k2 was published before it signs, so that nobody needs to ask; k3 was not, so that everybody must."""
    scene.proxy.start("k2", "k1")
    scene.accepted("the next key, known beforehand", Browser(scene.proxy).token())
    scene.asked_for_keys("not again for it", [1])
    scene.proxy.start("k3", "k2")
    browser = Browser(scene.proxy)
    browser.token(update='{"user":{"name":"Ada"}}')
    token = browser.token()
    if scene.algorithm == "HS256":
        scene.refused("a key that we have no file of", token)
        scene.proxy.start("k2")
        browser = Browser(scene.proxy)
        browser.token(update='{"user":{"name":"Ada"}}')
        return browser.token()
    for verify in scene.verifiers.values():
        with contextlib.suppress(TimeoutError):  # then the next check says so
            eventually("a new key is known", lambda verify=verify: verify(token).startswith("ok "))
    scene.accepted("a new key, not known beforehand", token)
    scene.asked_for_keys("once more for it", [2])
    scene.refused("a token of a key that is no longer published", scene.k1)
    return token


def tampering(scene, token):
    signer = key(scene.algorithm, scene.proxy.key("k2" if scene.algorithm == "HS256" else "k3").read_bytes())
    start, before = time.monotonic(), dict(scene.asked)
    scene.accepted("the token that the forged ones are made from", token)
    scene.refused(f"any of its {len(token)} characters changed", *tampered(token))
    for what, forged in forgeries(scene.algorithm, signer, token, scene.published_at):
        scene.refused(what, forged)
    for language, verify in scene.verifiers.items():
        verdicts = (verify(expired(signer, token, 2)).startswith("ok ") for _ in range(3))
        scene.report.check(f"{scene.algorithm} {language}: accepted: expired 2 s ago, for clocks differ", any(verdicts))
    most = (time.monotonic() - start) // 5 + 1
    for language in scene.verifiers if before else ():
        more = scene.asked[f"/{language}"] - before[f"/{language}"]
        scene.report.check(f"{scene.algorithm} {language}: invented kids made it ask at most every 5 s", more <= most, more)
    scene.report.check(f"{scene.algorithm}: nobody followed a token to its keys", "/stranger" not in scene.asked)
    scene.accepted("and the genuine one still", token)


def by_reference(scene):
    """What is too long for a header is asked for, and what comes up after the head is sent out of band."""
    browser, data = Browser(scene.proxy), json.dumps({"blob": "x" * 5000}, separators=(",", ":"))
    browser.token(update=data)
    token = browser.token()
    scene.accepted("a token by reference", token)
    claims = json.loads(decode(token.split(".")[1]))
    scene.report.equal(f"{scene.algorithm} proxy: it says so", (claims.get("data_ref"), "data" in claims), (True, False))
    given = scene.proxy.ask("GET", token)
    scene.report.equal(f"{scene.algorithm} proxy: GET /v1/session gives the data", given, (200, '"1"', data))
    change = {"Content_Type": "application/merge-patch+json", "If_Match": '"1"'}
    changed = scene.proxy.ask("PATCH", token, '{"blob":null,"progress":100}', **change)
    scene.report.equal(f"{scene.algorithm} proxy: PATCH /v1/session changes it", changed, (204, '"2"', ""))
    again = scene.proxy.ask("PATCH", token, "{}", **change)[0]
    scene.report.equal(f"{scene.algorithm} proxy: but not what has changed meanwhile", again, 412)
    scene.accepted("the data after that", browser.token())


def main(binary, cache):
    report = Report()
    for algorithm in "HS256", "ES256", "EdDSA":
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            application = stack.enter_context(serving(Application)).server_port
            publisher = stack.enter_context(serving(Publisher))
            play(Scene(report, binary, cache, folder, algorithm, application, publisher, stack))
    print(f"{report.passed} passed, {report.failed} failed")
    return report.failed > 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
