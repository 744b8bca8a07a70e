"""Paths that a user, a recipe or a file of somebody else names."""

from __future__ import annotations

import os
from pathlib import Path

from paretomerge.errors import InputError


def user_path(path: str | os.PathLike[str]) -> Path:
    """The path, with `~` and `~name` as home folders.

    Raises:
        InputError: no such user, or a character that no path has.
    """
    text = os.fspath(path)
    if "\0" in text:
        raise InputError(f"{text[:200]!r} is no path: it contains the character zero")
    try:
        os.fsencode(text)
        return Path(text).expanduser()
    except UnicodeEncodeError as error:
        raise InputError(f"{text[:200]!r} is no path: it is not valid text") from error
    except RuntimeError as error:
        raise InputError(f"{text[:200]!r}: there is no such user, or no home folder: write the whole path") from error
