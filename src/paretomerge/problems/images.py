"""Images as tables hold them (encoded, as paths, or as arrays of pixels), and as pixels in one form."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretomerge.errors import DataError, MissingExtraError
from paretomerge.problems.image_forms import MODES, ImageForm
from paretomerge.problems.models import first_line
from paretomerge.problems.tables import Table, described

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What is decoded. Pillow knows more, of which some start other programs."""

_AT_ONCE = 256  # rows whose encoded images are in memory together


def image_keys(table: Table, column: str) -> list[str]:
    """What tells the images of a table apart: their bytes, or the names of their files as the table has them.

    Raises:
        DataError: no such column, or a row without an image.
    """
    return [_key(value, table, column, row) for row, value in _values(table, column)]


def require_files(table: Table, column: str) -> None:
    """Refuse names of files that are not there.

    Raises:
        DataError: with the row and where the file was looked for.
    """
    for row, value in _values(table, column):
        path = _path_of(value, table)
        if path is not None and not path.is_file():
            raise DataError(
                f"{table.place(row)}: there is no image {path}: names of files are relative to the folder of the table"
            )


def read_images(table: Table, column: str, form: ImageForm) -> Tensor:
    """All images of a table in one form, `[n, channels, height, width]`.

    Whole numbers of 0 to 255, a byte each; pixels that are given as fractions stay such.

    Raises:
        DataError: an image that cannot be decoded, with its row, or images of different sizes where the form has none.
        MissingExtraError: Pillow is needed and not installed.
    """
    pixels: np.ndarray | None = None
    for row, value in _values(table, column):
        image = _Place(table, row).pixels(value, form)
        if pixels is None:
            pixels = np.empty((len(table), *image.shape), dtype=image.dtype)
        if image.shape != pixels.shape[1:] or image.dtype != pixels.dtype:
            raise DataError(
                f"{table.place(row)}: the image has {_size(image)}, but {table.place(0)} has {_size(pixels[0])}: name "
                "the size that the model takes by the setting 'size'"
            )
        pixels[row] = image
    assert pixels is not None
    return torch.from_numpy(pixels)


@dataclass(frozen=True, eq=False)
class _Place:
    """A row whose image is read, for messages."""

    table: Table
    row: int

    def pixels(self, value: Any, form: ImageForm) -> np.ndarray:
        """`[channels, height, width]`."""
        if isinstance(value, np.ndarray):
            return self._from_array(value, form)
        return _planes(self._in_form(self._opened(value), form))

    def _opened(self, value: Any) -> Any:
        image, operations = _pillow()
        path = _path_of(value, self.table)
        encoded = value["bytes"] if isinstance(value, Mapping) else value
        name = str(path) if path is not None else "the image"
        try:
            opened = image.open(path or io.BytesIO(encoded), formats=FORMATS)
            # Cameras write which way is up beside the pixels.
            return operations.exif_transpose(opened)
        except Exception as error:
            line = first_line(error)
            raise DataError(
                f"{self.table.place(self.row)}: {name} cannot be decoded ({line}); {', '.join(FORMATS)} are known: "
                "replace the image or remove its row"
            ) from error

    def _in_form(self, opened: Any, form: ImageForm) -> Any:
        """Converted, resized and cut."""
        if opened.mode in ("I;16", "I;16B", "I;16L"):
            opened = _from_sixteen_bits(opened)
        if opened.mode in ("I", "F"):
            raise DataError(
                f"{self.table.place(self.row)}: the image has {'whole' if opened.mode == 'I' else 'fractional'} "
                "numbers of 32 bits as pixels, whose range is unknown: save it with 8 or 16 bits"
            )
        opened = opened.convert(MODES[form.channels])
        if form.size is not None:
            opened = _resized(opened, form.size, form.resample)
        elif form.short_edge is not None:
            opened = _resized(opened, _with_short_edge(opened.size[::-1], form.short_edge), form.resample)
        if form.crop is not None:
            height, width = form.crop
            left, top = (opened.width - width) // 2, (opened.height - height) // 2
            opened = opened.crop((left, top, left + width, top + height))
        return opened

    def _from_array(self, value: np.ndarray, form: ImageForm) -> np.ndarray:
        """Bytes are resized and cut as images from files are; fractions must fit."""
        planes = value[..., None] if value.ndim == 2 else value
        channels = planes.shape[-1] if planes.ndim == 3 else 0
        if channels not in MODES:
            raise DataError(
                f"{self.table.place(self.row)}: the pixels have the shape {list(value.shape)}: expected [height, "
                "width] or [height, width, channels] with 1, 3 or 4 channels"
            )
        wanted = form.crop or form.size
        fits = channels == form.channels and form.short_edge is None and wanted in (None, planes.shape[:2])
        if value.dtype == np.uint8 and fits:
            return planes.transpose(2, 0, 1)
        if value.dtype == np.uint8:
            image, _ = _pillow()
            opened = image.fromarray(planes.squeeze(-1) if channels == 1 else planes)
            return _planes(self._in_form(opened, form))
        if value.dtype.kind != "f":
            raise DataError(
                f"{self.table.place(self.row)}: pixels are {value.dtype}: expected uint8 (0 to 255) or floats"
            )
        if not fits:
            raise DataError(
                f"{self.table.place(self.row)}: pixels that are floats are taken as they are, {_size_of(planes)}; the "
                f"model takes {form.channels} channel(s)"
                + (f" of {wanted[0]} × {wanted[1]}" if wanted else "")
                + ": bring them into that form, or save them as uint8"
            )
        return np.ascontiguousarray(planes.transpose(2, 0, 1), dtype=np.float32)


def _values(table: Table, column: str) -> Iterator[tuple[int, Any]]:
    """Rows and what they have as image, without holding all encoded images in memory."""
    if column not in table.names:
        table.column(column, "image")
    for start in range(0, len(table), _AT_ONCE):
        rows = range(start, min(start + _AT_ONCE, len(table)))
        yield from zip(rows, table.values(column, rows), strict=True)


def _key(value: Any, table: Table, column: str, row: int) -> str:
    if isinstance(value, Mapping) and "bytes" in value:
        value = value["bytes"] if value["bytes"] is not None else value.get("path")
    if isinstance(value, str | Path) and str(value):
        return str(value)
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, np.ndarray):
        return hashlib.sha256(repr(value.shape).encode() + np.ascontiguousarray(value).tobytes()).hexdigest()
    raise DataError(
        f"{table.place(row)}: {column!r} is {described(value)}, no image: expected the name of a file, encoded bytes, "
        "or an array of pixels. Name the right column by the setting 'image'"
    )


def _path_of(value: Any, table: Table) -> Path | None:
    """The file of an image, unless it is embedded."""
    if isinstance(value, Mapping):
        value = value.get("path") if value["bytes"] is None else None
    if not isinstance(value, str | Path):
        return None
    path = Path(value).expanduser()
    return path if table.folder is None else table.folder / path


def _resized(opened: Any, size: tuple[int, int], resample: int) -> Any:
    return opened if opened.size == size[::-1] else opened.resize(size[::-1], resample=resample)


def _with_short_edge(size: tuple[int, int], edge: int) -> tuple[int, int]:
    height, width = size
    if height <= width:
        return edge, int(edge * width / height)
    return int(edge * height / width), edge


def _from_sixteen_bits(opened: Any) -> Any:
    image, _ = _pillow()
    return image.fromarray((np.asarray(opened).astype(np.uint16) >> 8).astype(np.uint8))


def _planes(opened: Any) -> np.ndarray:
    pixels = np.asarray(opened)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _size(planes: np.ndarray) -> str:
    return f"{planes.shape[1]} × {planes.shape[2]} pixels ({planes.dtype})"


def _size_of(pixels: np.ndarray) -> str:
    return f"{pixels.shape[2]} channel(s) of {pixels.shape[0]} × {pixels.shape[1]}"


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError.of("pillow", "images") from error
    return Image, ImageOps
