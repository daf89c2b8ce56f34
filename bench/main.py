"""bench/run: all peers interleaved in one run, several rounds, ratios to nginx in the same round. See bench/README.md."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import load
import machine
import once
import report
from cases import chosen
from load import Failed
from stage import Stage

HERE = Path(__file__).parent


class Run:
    def __init__(self, binary):
        self.binary = binary.resolve()
        self.rounds = int(os.environ.get("ROUNDS", "5"))
        self.seconds = int(os.environ.get("SECONDS_PER", "5"))
        self.connections = 64
        self.proxy_core, self.load_core = machine.cores()
        self.folder = Path(tempfile.mkdtemp(prefix="bench."))
        machine.prepare(self.folder)
        self.rates = {}

    def measure(self, case, peer):
        """One peer in one case, alone on the stage."""
        with Stage(self.folder, case, peer, self.binary, self.proxy_core, self.load_core) as stage:
            proof = stage.proof()
            tokens = stage.verify_tokens()
            self.drive(stage, max(1, self.seconds // 4))
            reached, asked, spent = stage.reached_application(), stage.store_commands(), stage.proxy.seconds()
            result = self.drive(stage, self.seconds)
            user, system = (after - before for after, before in zip(stage.proxy.seconds(), spent))
            resident = stage.proxy.resident()
            reached = stage.reached_application() - reached
            asked = {name: count - asked.get(name, 0) for name, count in stage.store_commands().items()}
            tokens += stage.verify_tokens()
        requests = result["requests"]
        if reached < requests:
            raise Failed(f"{peer} answered {requests} requests, of which {reached} reached the application")
        if case.store == "redis" and peer == "cloakroom" and asked.get("get", 0) < requests * 0.99:
            raise Failed(f"{requests} requests, but only {asked.get('get')} reads of the store")
        if case.session == "written" and peer == "cloakroom" and asked.get("set", 0) < requests * 0.99:
            raise Failed(f"{requests} requests, but only {asked.get('set')} writes of the store")
        return proof, {
            "micros": (user + system) / requests * 1e6,
            "micros_user": user / requests * 1e6,
            "per_second": requests / result["seconds"],
            "p50": result["p50"],
            "p99": result["p99"],
            "resident": resident,
            "requests": requests,
            "tokens_verified": tokens,
            "store": {name: round(count / requests, 3) for name, count in asked.items() if count > requests // 100},
        }

    def drive(self, stage, seconds):
        case, log = stage.case, self.folder / "load.log"
        if case.connections == "steady":
            rate = self.steady_rate(case) // 32
            return load.h2load(stage.load_core, stage.url, stage.cookies[0], log,
                               requests=rate * 32 * seconds, clients=32, rate=rate, http=1)
        if case.http == 2:
            return load.h2load(stage.load_core, stage.url, stage.cookies[0], log, seconds=seconds, clients=16, streams=4)
        if case.connections == "strange":
            return load.ab(stage.load_core, stage.url, log, seconds, self.connections)
        fields = ["Connection: close"] if case.connections == "new" else []
        return load.wrk(stage.load_core, stage.url, stage.cookie_file, seconds, self.connections, fields)

    def steady_rate(self, case):
        """Half of what nginx can do here, the same for all: requests in a second."""
        if "steady" not in self.rates:
            plain = chosen(["plain"])[0]
            with Stage(self.folder, plain, "nginx", self.binary, self.proxy_core, self.load_core) as stage:
                result = load.wrk(self.load_core, stage.url, stage.cookie_file, 2, self.connections)
            self.rates["steady"] = int(result["requests"] / result["seconds"] / 2)
        return self.rates["steady"]

    def round(self, number, cases, results):
        for case in cases:
            proofs = {}
            turn = number % len(case.peers)
            for peer in case.peers[turn:] + case.peers[:turn]:
                proofs[peer], result = self.measure(case, peer)
                results.setdefault(case.name, {}).setdefault(peer, []).append(result)
                print(f"  {case.name:10} {peer:10} {result['micros']:8.1f} us ({result['micros_user']:.1f} user)  {result['per_second']:8.0f}/s  "
                      f"p50 {result['p50']:6} us  p99 {result['p99']:6} us  {result['resident'] / 2**20:6.1f} MB", flush=True)
            if len(set(proofs.values())) != 1:
                raise Failed(f"{case.name}: unequal work: {proofs}")


def main():
    names = [name for name in sys.argv[1:] if name != "once"]
    cases = chosen(names) if names or len(sys.argv) == 1 else []
    run = Run(Path(os.environ["BINARY"]))
    results = {}
    try:
        for number in range(run.rounds):
            print(f"round {number + 1} of {run.rounds}", flush=True)
            run.round(number, cases, results)
        measures_once = len(sys.argv) == 1 or "once" in sys.argv
        report.write(Path(os.environ["OUT"]), results, cases, once.measure(run) if measures_once else None, run)
    finally:
        shutil.rmtree(run.folder)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        raise SystemExit(f"FAILED: {failure}") from None
