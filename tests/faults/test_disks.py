"""Real disks, where the tests may mount: one that is full, and one that is read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.scenarios import SCENARIOS, Stand, require_equal, require_message
from tests.faults.state import require_readable, state_of


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@contextmanager
def _disk(place: Path, kibibytes: int) -> Iterator[None]:
    """A disk of this size; skips where nobody may mount."""
    place.mkdir(parents=True, exist_ok=True)
    if os.geteuid() or not _mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(place)):
        pytest.skip("only root may mount, and not everywhere")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], capture_output=True, check=True)


@pytest.mark.parametrize("name", ["merge", pytest.param("fit", marks=pytest.mark.slow),
                                  pytest.param("front", marks=pytest.mark.slow),
                                  pytest.param("finetune", marks=pytest.mark.slow)])  # fmt: skip
def test_a_disk_that_is_full_and_grows_again(stand: Stand, name: str) -> None:
    scenario = SCENARIOS[name]
    before, after, _, _ = stand.undisturbed(scenario)
    stand.lay_out(scenario)
    template = stand.folder.with_name("kept")
    shutil.rmtree(template, ignore_errors=True)
    shutil.copytree(stand.folder, template)
    used = sum(-(-path.stat().st_size // 4096) * 4 for path in template.rglob("*") if path.is_file())
    failed = False
    for room in (0, 8, 40, 200):
        with _disk(stand.folder, used + 16 + room):
            shutil.copytree(template, stand.folder, dirs_exist_ok=True)
            ended = stand.run(scenario)
            if ended.code == 0:
                continue
            failed = True
            require_message(ended)
            require_readable(stand.folder)
            found = state_of(stand.folder)
            assert all(digest in (before.files.get(n), after.files.get(n)) for n, digest in found.files.items())
            assert all(found.evaluations[key] == scores for key, scores in before.evaluations.items())
            assert _mount("-o", "remount,size=64m", str(stand.folder))
            again = stand.run(scenario)
            assert again.code == 0, again
            require_equal(state_of(stand.folder), after)
    assert failed, "the disk was never full"


@pytest.mark.parametrize("name", ["merge", pytest.param("front", marks=pytest.mark.slow)])
def test_a_disk_that_is_read_only(stand: Stand, name: str) -> None:
    scenario = SCENARIOS[name]
    before, after, _, _ = stand.undisturbed(scenario)
    stand.lay_out(scenario)
    if os.geteuid() or not _mount("--bind", str(stand.folder), str(stand.folder)):
        pytest.skip("only root may mount, and not everywhere")
    try:
        assert _mount("-o", "remount,ro,bind", str(stand.folder))
        ended = stand.run(scenario)
    finally:
        subprocess.run(["umount", str(stand.folder)], capture_output=True, check=True)
    require_message(ended)
    assert state_of(stand.folder).files == before.files
    again = stand.run(scenario)
    assert again.code == 0, again
    require_equal(state_of(stand.folder), after)
