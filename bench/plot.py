"""The picture: for each case and peer a bar of processor time relative to nginx, and a dot for every round."""

import statistics
from html import escape

COLOURS = {"nginx": "#8a8f98", "haproxy": "#c9a227", "apache": "#b5563c", "cloakroom": "#2f6f9f"}
NAMES = {"nginx": "nginx", "haproxy": "HAProxy", "apache": "Apache mod_session", "cloakroom": "Cloakroom"}
WIDTH, LEFT, RIGHT, BAR, GAP = 960, 250, 70, 11, 12
MOST = 4.0


def ratios(by_peer, peer):
    return [mine["micros"] / max(base["micros"], 1e-9) for mine, base in zip(by_peer[peer], by_peer["nginx"])]


def draw(results, cases, about):
    scale = (WIDTH - LEFT - RIGHT) / MOST
    x = lambda ratio: LEFT + min(ratio, MOST) * scale
    parts, y = [], 84
    for case in cases:
        by_peer, top = results[case.name], y
        for peer in case.peers:
            values = ratios(by_peer, peer)
            middle = statistics.median(values)
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{x(middle) - LEFT:.1f}" height="{BAR - 2}" fill="{COLOURS[peer]}"/>')
            parts += [f'<circle cx="{x(value):.1f}" cy="{y + BAR / 2 - 1}" r="1.6" fill="#222" fill-opacity="0.55"/>'
                      for value in values if value <= MOST]
            end = max([middle, *(value for value in values if value <= MOST)])
            parts.append(f'<text x="{x(end) + 5:.1f}" y="{y + BAR - 3}" class="n">{middle:.2f}</text>')
            y += BAR
        parts.append(f'<text x="{LEFT - 10}" y="{(top + y) / 2 + 4}" text-anchor="end">{escape(case.title)}</text>')
        if case.bound and case.measure == "micros":
            parts.append(f'<path d="M{x(case.bound):.1f} {top - 3}V{y + 1}" class="b"/>')
        y += GAP
    grid = "".join(f'<path d="M{x(at)} 76V{y}" class="g"/><text x="{x(at)}" y="70" text-anchor="middle" class="n">{at:g}</text>'
                   for at in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4))
    at, legend = LEFT, []
    for peer, colour in COLOURS.items():
        legend.append(f'<rect x="{at}" y="38" width="12" height="10" fill="{colour}"/><text x="{at + 17}" y="47">{NAMES[peer]}</text>')
        at += 40 + 8 * len(NAMES[peer])
    subtitle = f"{about['processor']}, {about['rounds']} rounds, {about['date']}; longer bars are cut; red lines are the bounds"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 12}" font-family="sans-serif" font-size="12">
<style>.n{{font-size:10px;fill:#444}}.g{{stroke:#ddd}}.b{{stroke:#d02020;stroke-width:1.5}}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="22" font-size="15">Processor time per request, as a ratio to nginx proxy_pass in the same round</text>
<text x="16" y="{y + 4}" class="n">{escape(subtitle)}</text>
{"".join(legend)}{grid}
{chr(10).join(parts)}
</svg>
"""
