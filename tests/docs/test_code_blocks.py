"""Every Python block of the README and the documentation runs; blocks of one page share their names."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks, blocks_of, pages

ELSEWHERE = {"tutorial.md"}  # needs files; see test_tutorial.py
WITH_CODE = [
    page
    for page in pages()
    if page.name not in ELSEWHERE and any(block.language == "python" for block in blocks_of(page))
]


def test_there_are_pages_with_code() -> None:
    """The README and pages of the documentation hold code, so blocks are still found."""
    assert {page.name for page in WITH_CODE} >= {"README.md", "python.md", "recipes.md"}
    assert len(blocks("python")) > 20


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path) -> None:
    """The blocks of a page run one after the other."""
    names: dict[str, object] = {"__name__": "documentation"}
    for block in blocks_of(page):
        if block.language == "python":
            exec(compile(block.content, block.name, "exec"), names)


def test_every_block_says_what_it_is() -> None:
    """A fence without a language would not be tested: it is python, console, yaml, json, bibtex or text."""
    known = {"python", "console", "yaml", "json", "jsonl", "bibtex", "text", "csv"}
    strange = [block.name for page in pages() for block in blocks_of(page) if block.language not in known]
    assert not strange
