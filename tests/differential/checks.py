#!/usr/bin/env python3
"""Sends generated requests through the proxy to real servers, and compares what each parsed with what was accepted.

A request is one of: sound (the application must get it, whole and as it is due), hostile (refused by the proxy, and
nothing of it or of what is hidden behind it is ever parsed), or grey (either). See `run` for the settings.
"""

import os
import pathlib
import random
import secrets
import shutil
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "browser"))

import servers  # noqa: E402
from report import Report  # noqa: E402
from share import Share  # noqa: E402
from stage import Stage, free_port  # noqa: E402

NEEDED = {"node": "nodejs", "nginx": "nginx", "apache2": "apache2-bin"}


def proxy_before(stage, binary, server):
    port = free_port()
    config = stage.path / f"{server.name}.toml"
    config.write_text(f"""
        listen = {{ address = "127.0.0.1:{port}" }}
        [upstreams.app]
        servers = ["http://127.0.0.1:{server.port}"]
        response_timeout = "20s"
        """)
    stage.start(f"proxy-{server.name}", [binary, "run", "--config", config, "--log", "off"], port)
    return port


def run_all(stage, binary, seed, kinds, share):
    """Every server beside the others, each with its own proxy and its own requests."""
    chosen = [kind(stage) for kind in kinds]
    runs = [
        Share(server, proxy_before(stage, binary, server), random.Random(f"{seed} {server.name}")) for server in chosen
    ]
    threads = [threading.Thread(target=run.through, args=(share,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return runs


def main():
    binary = pathlib.Path(sys.argv[1]).resolve(strict=True)
    seed = os.environ.get("DIFFERENTIAL_SEED") or secrets.token_hex(4)
    wanted = os.environ.get("DIFFERENTIAL_SERVERS", "").split()
    chosen = [kind for kind in servers.ALL if not wanted or kind.name in wanted]
    share = int(os.environ.get("DIFFERENTIAL_REQUESTS", "20000")) // len(chosen)
    missing = [package for program, package in NEEDED.items() if not shutil.which(program)]
    missing += [] if servers.php_servers() else ["php-fpm"]
    if missing:
        print(f"missing: apt-get install -y {' '.join(missing)}", file=sys.stderr)
        return 2
    print(f"seed: {seed} (DIFFERENTIAL_SEED repeats it)")
    report = Report()
    with Stage() as stage:
        try:
            for run in run_all(stage, binary, seed, chosen, share):
                run.tell(report)
        except Exception as error:  # noqa: BLE001 - a server that does not start is a failure, and its log says why
            report.check("every server starts", False, str(error))
        if report.failed:
            print("", *stage.logs(), sep="\n", file=sys.stderr)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
