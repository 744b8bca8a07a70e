"""Images are read from the archives that they travel in."""

from __future__ import annotations

import io
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from benchmarks.assets.images import fashion, mnist, read_deb, read_idx

from paretomerge.errors import DataError

ASSETS = os.environ.get("PARETOMERGE_ASSETS", "")
needs_assets = pytest.mark.skipif(not ASSETS, reason="needs a folder of packages: PARETOMERGE_ASSETS=DIR")


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def deb(files: dict[str, bytes], name: str = "data.tar.xz") -> bytes:
    """An `ar` archive as `dpkg-deb` makes it; the first member has an odd length."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as archive:
        folder = tarfile.TarInfo("./usr/share/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    found = b"!<arch>\n"
    for member, content in (("debian-binary", b"2.0"), ("control.tar.xz", b"1234"), (name, inner.getvalue())):
        found += f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        found += content + b"\n" * (len(content) % 2)
    return found


def test_an_idx_file_has_its_shape_and_values() -> None:
    values = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(read_idx(idx(values)), values)
    assert np.array_equal(read_idx(idx(values[0, 0])), [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no idx file"),
        (b"\x1f\x8b\x08\x00", "begins with 1f 8b 08 00"),
        (bytes([0, 0, 13, 1]), "unsigned bytes"),
        (idx(np.zeros((2, 2), dtype=np.uint8))[:-1], "cut off"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_idx(content)


@pytest.mark.parametrize("name", ["data.tar.xz", "data.tar.xz/"])
def test_a_folder_of_a_debian_package_is_read_without_dpkg(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.deb").write_bytes(deb({"./usr/share/one": b"1", "./usr/share/two": b"22", "./usr/other": b""}, name))
    assert read_deb(tmp_path / "a.deb", "./usr/share/") == {"one": b"1", "two": b"22"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4", "is no Debian package"),
        (deb({}, "other.tar.xz"), "is no Debian package"),
        (deb({"./usr/other": b""}), "has nothing in ./usr/share/"),
    ],
)
def test_what_is_no_such_package_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.deb").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_deb(tmp_path / "a.deb", "./usr/share/")


@needs_assets
def test_digits_and_clothes_are_those_of_the_publications() -> None:
    digits, clothes = mnist(Path(ASSETS)), fashion(Path(ASSETS))
    for found in (digits, clothes):
        assert found["train"].images.shape == (60_000, 28, 28)
        assert found["test"].images.shape == (10_000, 28, 28)
    assert digits["test"].labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert clothes["train"].labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert np.bincount(clothes["train"].labels).tolist() == [6_000] * 10
    assert round(float(digits["train"].images.mean()) / 255, 4) == 0.1307
    assert round(float(clothes["train"].images.mean()) / 255, 4) == 0.2860
