"""One line per check, and the sum."""

import traceback


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def heading(self, text):
        print(f"\n{text}", flush=True)

    def check(self, sentence, holds, detail=""):
        """Notes whether the sentence is true; `detail` says what was seen instead."""
        if holds:
            self.passed += 1
            print(f"  ok    {sentence}", flush=True)
        else:
            self.failed += 1
            print(f"  FAIL  {sentence}" + (f"\n        {detail!r}" if detail != "" else ""), flush=True)

    def equal(self, sentence, seen, wanted):
        self.check(sentence, seen == wanted, f"{seen!r} instead of {wanted!r}")

    def tour(self, name, walk, *arguments):
        """Walks a tour; one that stumbles is a failed check, and the next one starts all the same."""
        self.heading(name)
        try:
            walk(self, *arguments)
        except Exception as error:  # noqa: BLE001 - whatever it was, the person could not go on
            traceback.print_exc()
            self.check(f"{name}: walked to the end", False, str(error))

    def close(self):
        print(f"\n{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0
