"""One page of the reference per room, from the docstrings of what the room exports."""

from __future__ import annotations

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SOURCE = Path(__file__).parents[2] / "src" / "paretomerge"
FOLDER = "reference/api"
# Along the pipeline, as on the page of concepts.
ROOMS = (
    "checkpoints",
    "problems",
    "training",
    "curvature",
    "posteriors",
    "merging",
    "evaluation",
    "surrogates",
    "fronts",
    "choices",
    "diagnoses",
    "exports",
    "reports",
    "stages",
    "recipes",
    "runs",
    "planning",
    "distributed",
    "testing",
    "types",
    "arithmetic",
    "errors",
)
# Modules that are public without being exported by their room, because they need an extra.
BESIDES = {"training": ("training.trainer",)}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs: adds the pages."""
    for path, content in api_pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def api_pages() -> dict[str, str]:
    """Path below `docs/` → Markdown, with instructions for mkdocstrings."""
    return {
        f"{FOLDER}/index.md": _index(),
        **{f"{FOLDER}/{room}.md": _page(room) for room in ROOMS},
    }


def exported(module: str) -> list[str]:
    """The names in `__all__` of a module below `paretomerge`, read without importing it; else its public names.

    >>> exported("merging")[0]
    'Averaging'
    """
    tree = ast.parse(_file_of(module).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                return sorted(ast.literal_eval(node.value))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    ]


def path_of(module: str, name: str) -> str:
    """Where mkdocstrings finds an exported name: where it is defined, if a file of the folder has the same name.

    >>> path_of("merging", "Ties"), path_of("merging", "merge")
    ('paretomerge.merging.Ties', 'paretomerge.merging.merge.merge')
    """
    clashes = (_file_of(module).parent / f"{name}.py").exists() and _file_of(module).name == "__init__.py"
    if clashes:
        for node in ast.walk(ast.parse(_file_of(module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and any((a.asname or a.name) == name for a in node.names):
                return f"{node.module}.{name}"
    return f"paretomerge.{module}.{name}"


def modules_of(room: str) -> list[str]:
    """The room, its folders that export something, and what is public besides."""
    place = SOURCE / room
    folders = sorted(path.parent for path in place.rglob("*/__init__.py")) if place.is_dir() else []
    inner = [str(folder.relative_to(SOURCE)).replace("/", ".") for folder in folders]
    return [room, *(name for name in inner if "__all__" in _file_of(name).read_text()), *BESIDES.get(room, ())]


def _file_of(module: str) -> Path:
    path = SOURCE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _docstring_of(module: str) -> str:
    return ast.get_docstring(ast.parse(_file_of(module).read_text(encoding="utf-8"))) or ""


def _page(room: str) -> str:
    seen: set[str] = set()
    parts = []
    for module in modules_of(room):
        names = [name for name in exported(module) if name not in seen]
        seen.update(names)
        if names:
            parts += [f"{'#' if module == room else '##'} paretomerge.{module}", "", _docstring_of(module), ""]
            parts += [f"::: {path_of(module, name)}\n" for name in names]
    return "\n".join(parts)


def _index() -> str:
    rows = (f"| [`paretomerge.{room}`]({room}.md) | {_docstring_of(room).splitlines()[0]} |" for room in ROOMS)
    return "\n".join(
        (
            "# Python",
            "",
            "From the docstrings, one page per room of the package. What one needs daily is also exported by",
            "`paretomerge` itself: `import paretomerge as pm`, then `pm.merge`, `pm.FitSubspace` …",
            "",
            "| room | |",
            "|---|---|",
            *rows,
            "",
        )
    )
