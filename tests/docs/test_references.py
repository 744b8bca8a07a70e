"""The generated references: every verb, option, key, method and public name is there, and every page in the menu."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("mkdocs", reason="mkdocs is not installed")

from docs.hooks import api_reference, cli_reference, recipe_reference
from tests.docs.pages import ROOT, blocks

PACKAGE = ROOT / "src" / "paretomerge"


def _menu() -> set[str]:
    class Loader(yaml.SafeLoader):
        """mkdocs.yml names Python objects."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: suffix)

    def leaves(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        parts = entry.values() if isinstance(entry, dict) else entry
        return [leaf for part in parts for leaf in leaves(part)]

    return set(leaves(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]))


def test_every_verb_and_option_is_on_the_page() -> None:
    """The page of the command line leaves nothing out."""
    page = cli_reference.cli_page()
    for name, command in cli_reference.root_command().commands.items():
        section = page.partition(f"## paretomerge {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for param in command.params:
            spelled = param.metavar or param.name.upper() if param.param_type_name == "argument" else param.opts[0]
            assert str(spelled).replace("|", "\\|") in section, (name, param.name)
    for line in page.splitlines():
        if line.startswith(("| `-", "| `[", "| `R")):
            assert line.replace("\\|", "").count("|") == 4, line


def test_every_key_of_a_recipe_is_on_the_page() -> None:
    """The page of keys leaves nothing out, and no row is cut by a bar inside it."""
    from paretomerge.recipes.schema import Recipe

    page = recipe_reference.recipe_page()
    for _, section in [("", Recipe), *recipe_reference.sections_of(Recipe)]:
        for key in section.model_fields:
            assert f"| `{key}` |" in page
    for line in page.splitlines():
        if line.startswith("| `"):
            assert line.replace("\\|", "").count("|") == 5, line


@pytest.mark.parametrize("kind", sorted(recipe_reference.KINDS))
def test_every_method_is_on_the_page(kind: str) -> None:
    """Families, rules and front methods, with each of their settings."""
    page = recipe_reference.recipe_page()
    assert len(recipe_reference.methods_of(kind)) >= 5
    for name in recipe_reference.methods_of(kind):
        assert f"### `{name}`" in page


def test_settings_are_explained() -> None:
    """What docstrings say of settings arrives in the tables, also of two settings at once."""
    assert recipe_reference.arguments_of("T.\n\n    Args:\n        a, b: two\n            lines.\n\n    Rest.") == {
        "a": "two lines.",
        "b": "two lines.",
    }
    assert "ridge" in recipe_reference.recipe_page()


def test_every_room_has_a_page_and_an_idea() -> None:
    """A room without a page of the reference, or without one of the concepts, is a new room that nobody wrote about."""
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms - set(api_reference.ROOMS) == {"cli", "demo"}
    assert rooms - {page.stem for page in (ROOT / "docs/rooms").glob("*.md")} == {"demo"}


@pytest.mark.parametrize("room", api_reference.ROOMS)
def test_every_exported_name_is_on_the_rooms_page(room: str) -> None:
    """What a room exports is on its page, once."""
    page = api_reference.api_pages()[f"reference/api/{room}.md"].splitlines()
    module = import_module(f"paretomerge.{room}")
    names = getattr(module, "__all__", api_reference.exported(room))
    assert names
    for name in names:
        assert page.count(f"::: {api_reference.path_of(room, name)}") == 1


def test_a_function_that_is_called_like_its_file_is_found() -> None:
    """`merging.merge` is a file and a function; the page is about the function."""
    assert api_reference.path_of("merging", "merge") == "paretomerge.merging.merge.merge"
    assert api_reference.path_of("fronts", "hypervolume") == "paretomerge.fronts.hypervolume.hypervolume"


def test_names_used_in_the_documentation_are_in_the_reference() -> None:
    """Whatever a page imports from a room can be looked up."""
    listed = "\n".join(api_reference.api_pages().values())
    for block in blocks("python"):
        for node in ast.walk(ast.parse(block.content)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paretomerge."):
                for alias in node.names:
                    if f"::: paretomerge.{node.module.removeprefix('paretomerge.')}.{alias.name}\n" not in listed:
                        assert f".{alias.name}\n" in listed, (block.name, node.module, alias.name)


def test_every_page_is_in_the_menu() -> None:
    """No page can only be found by accident, written or generated."""
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    generated = {cli_reference.PAGE, recipe_reference.PAGE, *api_reference.api_pages()}
    assert _menu() == written | generated


def test_the_picture_of_the_pipeline_names_rooms_that_exist() -> None:
    """The picture stays true when a room is renamed."""
    import re

    picture = (ROOT / "docs/assets/pipeline.svg").read_text(encoding="utf-8")
    named = re.findall(r'<text x="\d+" y="\d+">(\w+)</text>', picture)
    assert len(named) == 13
    assert all((PACKAGE / name).is_dir() for name in named)


def test_no_page_links_to_a_file_that_is_not_there() -> None:
    """Links from the README into the documentation lead somewhere."""
    import re

    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert Path(ROOT / target).exists(), target
