from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import paretomerge

TREE = ast.parse(Path(paretomerge.__file__).read_text(encoding="utf-8"))


def _typed_imports() -> dict[str, tuple[str, str]]:
    """Public name → (module, name there), from the TYPE_CHECKING block."""
    [block] = [node for node in TREE.body if isinstance(node, ast.If)]
    return {
        alias.asname or alias.name: (statement.module, alias.name)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def test_names_are_sorted_and_said_once() -> None:
    assert paretomerge.__all__ == sorted(set(paretomerge.__all__))


def test_dir_lists_the_public_names() -> None:
    assert dir(paretomerge) == paretomerge.__all__


@pytest.mark.parametrize("name", paretomerge.__all__)
def test_a_name_resolves_to_what_type_checkers_see(name: str) -> None:
    module, original = _typed_imports()[name]
    expected = (
        import_module(f"{module}.{original}") if module == "paretomerge" else getattr(import_module(module), original)
    )
    assert getattr(paretomerge, name) is expected


def test_type_checkers_and_users_see_the_same_names() -> None:
    assert set(_typed_imports()) == set(paretomerge.__all__)
    assert set(paretomerge._HOMES) | set(paretomerge._MODULES) == set(paretomerge.__all__)
    assert set(paretomerge._RENAMED) <= set(paretomerge._HOMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'paretofront'"):
        paretomerge.paretofront  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import paretomerge, sys; print([m for m in ('torch', 'numpy', 'typer', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_verb_is_not_shadowed_by_its_room() -> None:
    assert callable(paretomerge.merge)
    assert paretomerge.merging.__name__ == "paretomerge.merging"


def test_a_merge_imports_no_more_than_it_needs() -> None:
    """Start-up is a large part of a merge of a small model: nothing that fits curvature or fronts is imported."""
    code = (
        "import sys; from paretomerge.stages import merge_checkpoints, merge_mergekit; "
        "from paretomerge.recipes import method; method('rule', 'ties'); "
        "print(*sorted({'scipy', 'transformers', 'paretomerge.curvature', 'paretomerge.fronts'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
