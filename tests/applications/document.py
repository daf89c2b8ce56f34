"""What docs/legacy.md says, block by block: the tours run on the very files that a reader copies."""

import re

from stage import ROOT

DOCUMENT = ROOT / "docs" / "legacy.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files(heading):
    """The blocks of a section that are files, by the name that is in their first line."""
    section = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(heading + "\n"))
    named = ((named_in(block), block) for _, block in FENCE.findall(text))
    return {name: block for name, block in named if name}


def commands():
    """The blocks that are commands, by the words of the comment in their first line."""
    found = (block.split("\n", 1) for kind, block in FENCE.findall(DOCUMENT.read_text()) if kind == "sh")
    return {first.removeprefix("# "): command for first, command in found if first.startswith("# ")}


def named_in(block):
    found = re.search(r"[\w./-]+\.(toml|php|xml|py|ini|conf)\b", block.splitlines()[0])
    return found and found[0].rpartition("/")[2]


def changed(text, replaced):
    """The text with other addresses and folders; each must be there, or the document speaks of something else."""
    for old, new in replaced.items():
        assert old in text, f"docs/legacy.md should name {old}"
        text = text.replace(old, str(new))
    return text
