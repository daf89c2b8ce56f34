"""One server's share: connections full of requests, each answer and each parsed request held to what was foretold."""

import base64
import collections
import json
import time
import traceback

from draft import Answered, Breaks, Passes, Tolerated
from due import due
from hostile import cut_off, hostile
from second import Connection2, hostile2, sound2
from sound import farewell, grey, sound
from wire import Connection, Ended

SHOWN = 8  # deviations are told in full up to this many


class Deviation(Exception):
    """Something was not as foretold."""


class Share:
    def __init__(self, server, port, random):
        self.server, self.port, self.random = server, port, random
        self.counts = collections.Counter()
        self.deviations = []
        self.seconds = 0

    def through(self, number):
        begun = time.monotonic()
        while self.counts["sent"] < number and len(self.deviations) < SHOWN:
            is_second = self.random.random() < 0.15
            requests = self.second_conversation() if is_second else self.conversation()
            try:
                self.converse_second(requests) if is_second else self.converse(requests)
            except Exception as error:  # noqa: BLE001 - whatever went wrong, it is told with the bytes that did it
                if not isinstance(error, Deviation):
                    traceback.print_exc()
                time.sleep(0.5)
                self.server.parsed()  # what belongs to the others is their business
                self.deviations.append(
                    f"{error!r}\n" + "\n".join(f"  {sent.about}: {sent.raw[:600]!r}" for sent in requests)
                )
        self.seconds = time.monotonic() - begun

    def conversation(self):
        """Requests for one connection, which end it."""
        kinds = self.random.choices([sound, hostile, grey], [75, 22, 3], k=self.random.randrange(1, 8))
        requests = [kind(self.random) for kind in kinds]
        return [*requests, self.random.choices([farewell, cut_off], [90, 10])[0](self.random)]

    def second_conversation(self):
        kinds = self.random.choices([sound2, hostile2], [75, 25], k=self.random.randrange(1, 10))
        return [kind(self.random) for kind in kinds]

    def converse_second(self, requests):
        connection, passed = Connection2(self.port), []
        try:
            for sent in requests:
                self.counts["sent"] += 1
                self.counts["over HTTP/2"] += 1
                answer = self.answer_on(connection, sent)
                if answer is None:
                    return
                if answer:
                    self.judge(sent, answer, passed)
        finally:
            connection.close()
            self.compare(passed)

    def answer_on(self, connection, sent):
        """An answer; False if the stream was reset, None if the connection is over. Only hostile requests do either."""
        try:
            answer = connection.ask(sent)
        except Ended:
            answer = None
        else:
            answer = answer or False
        if not answer and isinstance(sent.verdict, Passes):
            raise Deviation(f"{sent.about}: no answer to what is sound: {sent.raw[:120]!r}")
        if not answer:
            self.counts["refused"] += 1
        return answer

    def converse(self, requests):
        connection = Connection(self.port)
        try:
            pieces, pause = self.cut(b"".join(sent.raw for sent in requests))
            connection.write(pieces, pause)
            passed = self.read_answers(connection, requests)
        finally:
            connection.close()
        self.compare(passed)

    def cut(self, text):
        """The bytes in the pieces in which they are written, and the pause between two."""
        match self.random.randrange(4):
            case 0:
                cuts = sorted(self.random.sample(range(len(text)), min(len(text), 6)))
            case 1 if len(text) < 1_500:
                cuts = range(1, len(text))
            case 2:
                cuts = [at + 1 for at, byte in enumerate(text[:4_000]) if byte in b"\r\n"]
            case _:
                cuts = []
        bounds = [0, *cuts, len(text)]
        pieces = [text[start:end] for start, end in zip(bounds, bounds[1:])]
        return pieces, 0.001 if len(cuts) == 6 else 0

    # ---- what was answered

    def read_answers(self, connection, requests):
        """Holds the answers to what was foretold; returns what the server must have parsed, with ids."""
        passed, ended = [], False
        for sent, following in zip(requests, [*requests[1:], None]):
            self.counts["sent"] += 1
            if ended:
                self.counts["behind an end"] += 1
                continue
            if sent.is_cut:
                connection.end_writing()
            try:
                answer = connection.read_answer(sent.method)
            except Ended as end:
                if end.partial or not isinstance(sent.verdict, Breaks):
                    raise Deviation(f"{sent.about}: {end}") from end
                ended = True
                continue
            ended = self.judge(sent, answer, passed)
            if ended is None:
                if following and following.is_cut:
                    connection.end_writing()
                ended = self.has_ended(connection)
        if rest := connection.rest():
            raise Deviation(f"more came than was asked for: {rest[:300]!r}")
        return passed

    def has_ended(self, connection):
        """For requests of which nobody can say whether the connection survives: whether it did."""
        if not connection.held:
            try:
                connection.read_more()
            except Ended:
                return True
        return False

    def judge(self, sent, answer, passed):
        """Whether the connection ends with this answer; None if that is open."""
        match sent.verdict:
            case Answered(statuses, ends):
                if not answer.from_proxy or answer.status not in statuses:
                    raise Deviation(f"{sent.about}: {answer} instead of a refusal with {statuses}")
                self.counts["refused"] += 1
                return ends
            case Breaks():
                if not answer.from_proxy or answer.status not in (400, 408):
                    raise Deviation(f"{sent.about}: {answer} to a body that breaks")
                self.counts["broken"] += 1
                return True
            case Tolerated() if answer.from_proxy and answer.status == 400:
                self.counts["grey refused"] += 1
                return None
            case Passes(draft) | Tolerated(draft):
                return self.judge_passed(sent, draft, answer, passed)

    def judge_passed(self, sent, draft, answer, passed):
        wanted = due(draft, f"127.0.0.1:{self.server.port}")
        if own := self.server.answers(wanted):
            return self.judge_own(sent, draft, answer, own)
        if not answer.from_application:
            who = "the proxy" if answer.from_proxy else self.server.name
            raise Deviation(f"{sent.about}: {who} answers {answer} to {wanted.method} {wanted.target[:80]}")
        if answer.ends and not draft.closes and draft.version == "1.1":
            raise Deviation(f"{sent.about}: the connection ends without need")
        passed.append((wanted, answer.field("x-request-id"), sent))
        self.counts["passed"] += 1
        return draft.closes or answer.ends

    def judge_own(self, sent, draft, answer, own):
        """The server refuses by itself, and the proxy passes that on. One that does not wait for the body resets the
        connection, which may overtake its answer: then the proxy's 502 is as good, and the connection may end."""
        overtaken = draft.body and answer.from_proxy and answer.status == 502
        if not overtaken and (answer.from_application or answer.from_proxy or answer.status != own):
            raise Deviation(f"{sent.about}: {answer}, though {self.server.name} should answer it itself with {own}")
        self.counts["answered by the server itself"] += 1
        return draft.closes or answer.ends or (None if draft.body else False)

    # ---- what was parsed

    def compare(self, passed):
        parsed = self.server.parsed()
        for (wanted, request_id, sent), record in zip(passed, parsed):
            self.compare_one(wanted, request_id, sent, record)
        if len(parsed) != len(passed):
            targets = [f"{record['method']} {record['target'][:80]}" for record in parsed]
            raise Deviation(f"{len(passed)} requests were accepted, {len(parsed)} parsed: {targets}")

    def compare_one(self, wanted, request_id, sent, record):
        seen = self.server.seen(record["fields"])
        for name, value in (("X-Session", check_token), ("X-Request-Id", lambda id: id == request_id)):
            key = next(
                (key for key in seen if key.lower().replace("_", "-").removeprefix("http-") == name.lower()), None
            )
            if key is None or not value(seen.pop(key)):
                raise Deviation(f"{sent.about}: {name} is missing or wrong")
        facts = {
            "the method": (record["method"], wanted.method),
            "the target": (record["target"], wanted.target),
            "the body": (record["body"], wanted.body.decode("latin-1")),
            "the header": (seen, self.server.shown(wanted)),
        }
        if "trailers" in record:
            given = record["trailers"]
            facts["the trailers"] = (sorted(zip(given[::2], given[1::2])), sorted(wanted.trailers))  # names in any order
        for what, (got, due_) in facts.items():
            if got != due_:
                raise Deviation(f"{sent.about}: {what} is {difference(got, due_)}")

    def tell(self, report):
        name, counts = self.server.name, self.counts
        report.heading(f"{name}: {counts['sent']} requests in {self.seconds:.0f} s")
        for deviation in self.deviations:
            print(deviation)
        good = not self.deviations
        report.check(
            f"{name} parsed the {counts['passed']} requests that the proxy accepted, as they were due, and no other",
            good and counts["passed"],
        )
        report.check(
            f"{counts['refused']} hostile requests were refused, {counts['broken']} broken bodies never came to an end",
            good and counts["refused"],
        )
        others = ("over HTTP/2", "answered by the server itself", "grey refused", "behind an end")
        print("        " + ", ".join(f"{what}: {counts[what]}" for what in others))


def difference(got, wanted):
    if not isinstance(got, dict):
        return f"{got!r:.600} instead of {wanted!r:.600}"
    names = [name for name in {*got, *wanted} if got.get(name) != wanted.get(name)]
    return ", ".join(f"{name}: {got.get(name)!r:.300} instead of {wanted.get(name)!r:.300}" for name in names)


def check_token(token):
    """Of an anonymous visitor: one token, with the application's name and no data."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return claims["data"] == {} and claims["aud"] == "app" and "sid" not in claims
