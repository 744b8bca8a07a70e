"""Reading the README and the documentation: pages, and the fenced blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line it starts at, its language and its content."""

    page: Path
    line: int
    language: str
    content: str

    @property
    def name(self) -> str:
        """Where it is, for the names of tests."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """The README, the documentation, and the pages beside examples and benchmarks."""
    folders = (ROOT / "docs", ROOT / "examples", ROOT / "benchmarks")
    return [ROOT / "README.md", *sorted(page for folder in folders for page in folder.rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], _without_indent(found[3], found[1]))
        for found in _FENCE.finditer(text)
    ]


def blocks(language: str) -> list[Block]:
    """All blocks in a language."""
    return [block for page in pages() for block in blocks_of(page) if block.language == language]


def _without_indent(content: str, indent: str) -> str:
    return "\n".join(line.removeprefix(indent) for line in content.split("\n"))
