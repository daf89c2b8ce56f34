"""What a run found: medians, ratios to nginx in the same round, a table, and the file that keeps it all."""

import datetime
import json
import statistics
import subprocess
from pathlib import Path

import machine
import plot

VERSIONS = {
    "nginx": ["nginx", "-v"],
    "haproxy": ["haproxy", "-v"],
    "apache": ["apache2", "-v"],
    "redis": ["redis-server", "--version"],
    "wrk": ["wrk", "-v"],
    "h2load": ["h2load", "--version"],
    "ab": ["ab", "-V"],
}
BEGIN, END = "<!-- bench/run writes from here -->", "<!-- to here -->"
NAMES = {"nginx": "nginx", "haproxy": "HAProxy", "apache": "Apache mod_session", "cloakroom": "Cloakroom"}


def first_line(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def median(rounds, key):
    return statistics.median(result[key] for result in rounds)


def ratios(by_peer, peer, key):
    """The peer's value over nginx's of the same round, for each round."""
    return [mine[key] / max(base[key], 1e-9) for mine, base in zip(by_peer[peer], by_peer["nginx"])]


def table(results, cases):
    """Markdown: a row for each case and peer."""
    lines = ["| case | peer | µs of processor per request | ratio to nginx | requests/s | p50 µs | p99 µs (ratio) | resident MB |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]
    for case in cases:
        by_peer = results[case.name]
        for peer in case.peers:
            rounds = by_peer[peer]
            ratio, tail = (statistics.median(ratios(by_peer, peer, key)) for key in ("micros", "p99"))
            cell, bounded = f"{ratio:.2f}", f"{median(rounds, 'p99'):.0f} ({tail:.2f})"
            if peer == "cloakroom" and case.bound:
                verdict = lambda value: f"(bound {case.bound:g}: {'reached' if round(value, 2) <= case.bound else 'missed'})"
                if case.measure == "micros":
                    cell = f"**{cell}** {verdict(ratio)}"
                else:
                    bounded = f"**{bounded}** {verdict(tail)}"
            lines.append(f"| {case.title if peer == case.peers[0] else ''} | {NAMES[peer]} | {median(rounds, 'micros'):.1f} | {cell} | "
                         f"{median(rounds, 'per_second'):.0f} | {median(rounds, 'p50'):.0f} | {bounded} | "
                         f"{median(rounds, 'resident') / 2**20:.1f} |")
    return "\n".join(lines)


def once_table(once):
    """Markdown of what was measured once for each peer."""
    lines = ["| | " + " | ".join(NAMES[peer] for peer in once["peers"]) + " |", "|---|" + "---:|" * len(once["peers"])]
    for title, values in once["rows"]:
        lines.append(f"| {title} | " + " | ".join(str(values.get(peer, "")) for peer in once["peers"]) + " |")
    return "\n".join(lines)


def described(run):
    root = Path(__file__).parent.parent
    commit = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return {
        **machine.described(),
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "rounds": run.rounds,
        "seconds": run.seconds,
        "connections": run.connections,
        "versions": {name: first_line(command) for name, command in VERSIONS.items()},
    }


def text(results, cases, once, about):
    """All that a reader of the page needs, in Markdown."""
    where = f"{about['processor']}, Linux {about['kernel']}"
    how = f"{about['rounds']} rounds of {about['seconds']} s, {about['connections']} connections, commit {about['commit']}"
    parts = [f"Measured {about['date']} on {where}; {how}.", table(results, cases)]
    if once:
        parts.append(once_table(once))
    return "\n\n".join(parts) + "\n"


def write(folder, results, cases, once, run):
    """Keeps everything in `folder`; the page there gets the tables between its two marks."""
    about = described(run)
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"about": about, "results": results, "once": once}
    (folder / "performance.json").write_text(json.dumps(kept, indent=1) + "\n")
    (folder / "performance.svg").write_text(plot.draw(results, cases, about))
    tables, page = text(results, cases, once, about), folder / "performance.md"
    if page.exists() and BEGIN in page.read_text():
        before, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{tables}{END}{rest.partition(END)[2]}")
    print(f"\n{tables}")
