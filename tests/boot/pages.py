"""The pages, block by block: what the walks do is read from them, so that a page that changes changes the walk."""

import re
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """One by one, with their continued lines. Comments at their end stay; the shell knows them."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip()]


def blocks(page: str, language: str | None = None, below: str = "") -> list[Block]:
    """The blocks of a page from top to bottom, of one language, and below one heading."""
    lines = (CHECKOUT / page).read_text().splitlines()
    found, heading, at = [], "", 0
    while at < len(lines):
        start = re.match(r"( *)```(\w+)$", lines[at])
        if lines[at].startswith("#"):
            heading = lines[at].lstrip("# ")
        at += 1
        if not start:
            continue
        first, indent = at, len(start[1])
        while lines[at].strip() != "```":
            at += 1
        text = "".join(line[indent:] + "\n" for line in lines[first:at])
        if language in (None, start[2]) and heading.startswith(below):
            found.append(Block(page, first, start[2], text))
        at += 1
    assert found, f"{page} has no block of {language} below {below!r}"
    return found


def replaced(config: str, block: str) -> str:
    """`relay.toml` with the tables of a page's block in the place of its own, as an operator edits it."""
    for table in re.split(r"\n(?=\[)", block.strip()):
        header = table.splitlines()[0]
        own = re.compile(rf"^{re.escape(header)}\n(?:(?!\[).*\n?)*", re.MULTILINE)
        config = own.sub("", config)
        config = config.rstrip("\n") + f"\n\n{table}\n"
    return config
