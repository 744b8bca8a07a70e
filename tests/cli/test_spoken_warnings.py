from __future__ import annotations

import warnings

import pytest

import paretomerge
from paretomerge.cli.spoken_warnings import spoken_warnings


def _warn(text: str, category: type[Warning], filename: str) -> None:
    warnings.warn_explicit(text, category, filename, 7)


@pytest.mark.filterwarnings("always")
def test_warnings_of_this_package_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with spoken_warnings():
        _warn("9 texts are cut", UserWarning, str(paretomerge.__file__))
    assert capsys.readouterr().err == "warning: 9 texts are cut\n"
    assert warnings.showwarning is before


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize(
    ("category", "filename"), [(UserWarning, "/elsewhere.py"), (FutureWarning, str(paretomerge.__file__))]
)
def test_other_warnings_stay_as_they_are(
    category: type[Warning], filename: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: seen.append((str(message), *rest[:3])))
    with spoken_warnings():
        _warn("old", category, filename)
    assert seen == [("old", category, filename, 7)]
