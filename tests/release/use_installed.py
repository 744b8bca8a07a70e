"""A newcomer's first minute with an installed package: run by the python of an environment without the sources.

`python -I use_installed.py VERSION`; ends with an AssertionError where something is missing.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

MOST_SECONDS_FOR_HELP = 0.5


def main(version: str) -> None:
    import paretomerge

    package = Path(paretomerge.__file__).parent
    assert package.parent == Path(sysconfig.get_paths()["purelib"]), f"this is not the installed package: {package}"
    assert (package / "py.typed").is_file(), "the marker for type checkers is missing"
    program = Path(sys.executable).with_name("paretomerge")
    assert _said(program, "--version") == f"paretomerge {version}\n"
    assert "Start with:  paretomerge demo" in _said(program, "--help")
    seconds = min(_seconds(program, "--help") for _ in range(5))
    assert seconds < MOST_SECONDS_FOR_HELP, f"--help took {seconds:.2f} s"
    for name in paretomerge.__all__:
        getattr(paretomerge, name)
    with tempfile.TemporaryDirectory() as folder:
        _merge_two(program, Path(folder))
        _write_page(Path(folder))
    print(f"paretomerge {version} works where it is installed; --help takes {seconds:.2f} s")


def _merge_two(program: Path, folder: Path) -> None:
    """A merge from the command line, at the weights 1/4 and 3/4."""
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(0)
    base = torch.randn(3, 2, generator=generator)
    models = {"base": base, **{name: base + 0.1 * torch.randn(3, 2, generator=generator) for name in "ab"}}
    for name, weight in models.items():
        save_file({"weight": weight}, folder / f"{name}.safetensors")
    tasks = [f"--task={name}={folder / name}.safetensors" for name in "ab"]
    options = ["--base", folder / "base.safetensors", *tasks, "--weights", "a=0.25,b=0.75"]
    _said(program, "merge", folder / "out", *options)
    [written] = (folder / "out").glob("*.safetensors")
    expected = models["a"] * 0.25 + models["b"] * 0.75
    torch.testing.assert_close(load_file(written)["weight"], expected)


def _write_page(folder: Path) -> None:
    """The report needs the package's templates."""
    import numpy as np

    from paretomerge.reports import ReportData, write_page
    from paretomerge.types import Objective, Scores

    objectives = (Objective("a"), Objective("b"))
    scores = Scores(("a", "b"), np.eye(2), np.eye(2), np.zeros((2, 2)), objectives, "merged")
    page = write_page(folder / "report.html", ReportData.of_scores(scores, "A title"))
    text = page.read_text("utf-8")
    assert "A title" in text
    assert "Content-Security-Policy" in text


def _said(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def _seconds(*command: object) -> float:
    """Of a processor: how busy the machine is otherwise does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _said(*command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(sys.argv[1])
