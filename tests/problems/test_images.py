from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.problems.picture_files import encoded, image, pixels, write_image

from paretomerge.errors import DataError, MissingExtraError
from paretomerge.problems.image_forms import ImageForm
from paretomerge.problems.images import image_keys, read_images, require_files
from paretomerge.problems.tables import Table, table_of


def _table(values: list[Any], folder: Path | None = None) -> Table:
    rows = tuple({"image": value} for value in values)
    return Table("mine", rows, range(1, len(values) + 1), "row", folder)


def _read(value: Any, **form: Any) -> torch.Tensor:
    (found,) = read_images(_table([value]), "image", ImageForm(**form))
    return found


def test_images_are_the_same_encoded_as_files_and_as_arrays(tmp_path: Path) -> None:
    values = [pixels(seed, 3, 5) for seed in range(4)]
    write_image(tmp_path / "in" / "a.png", values[0])
    write_image(tmp_path / "b.png", values[1])
    held = [
        "in/a.png",
        {"bytes": None, "path": str(tmp_path / "b.png")},
        {"bytes": encoded(values[2]), "path": "lost.png"},
        values[3],
        encoded(values[0], "BMP"),
    ]
    table = _table(held, tmp_path)
    require_files(table, "image")
    found = read_images(table, "image", ImageForm())
    assert (found.dtype, found.shape) == (torch.uint8, (5, 3, 3, 5))
    np.testing.assert_array_equal(found.numpy(), np.stack([*values, values[0]]).transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("given", [1, 3, 4])
def test_channels_are_converted_as_pillow_does(channels: int, mode: str, given: int) -> None:
    values = pixels(0, 3, 5, given)
    expected = np.asarray(image.fromarray(values).convert(mode))
    for value in (values, encoded(values)):
        found = _read(value, channels=channels).numpy()
        np.testing.assert_array_equal(found, expected[None] if channels == 1 else expected.transpose(2, 0, 1))


def test_grey_arrays_may_have_a_channel_of_their_own() -> None:
    values = pixels(0, 3, 5, 1)
    np.testing.assert_array_equal(_read(values[..., None], channels=1)[0].numpy(), values)


def test_images_are_resized_then_cut_in_the_middle() -> None:
    values = pixels(0, 6, 9)
    plain = image.fromarray(values)
    resized = np.asarray(plain.resize((12, 8), resample=3)).transpose(2, 0, 1)
    np.testing.assert_array_equal(_read(values, size=(8, 12), resample=3).numpy(), resized)
    np.testing.assert_array_equal(_read(values, short_edge=8, resample=3).numpy(), resized)
    np.testing.assert_array_equal(_read(values, short_edge=8, resample=3, crop=(4, 5)).numpy(), resized[:, 2:6, 3:8])
    tall = _read(values.transpose(1, 0, 2), short_edge=8, resample=3)
    assert tall.shape == (3, 12, 8)


def test_pixels_of_sixteen_bits_keep_their_upper_eight() -> None:
    values = np.array([[0, 255, 256], [30_000, 65_279, 65_535]], dtype=np.uint16)
    np.testing.assert_array_equal(_read(encoded(values), channels=1)[0].numpy(), values >> 8)


def test_images_lie_as_the_camera_says(tmp_path: Path) -> None:
    values = pixels(0, 3, 5)
    picture = image.fromarray(values)
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / "a.png", exif=exif)
    assert _read(str(tmp_path / "a.png")).shape == (3, 5, 3)


def test_fractions_are_taken_as_they_are() -> None:
    values = np.linspace(-1, 2, 12).reshape(2, 2, 3)
    found = _read(values)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor(values.transpose(2, 0, 1), dtype=torch.float32))


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        (b"", {}, r"mine, row 2: the image cannot be decoded \(.*\); PNG, JPEG, .* are known: replace the image"),
        (encoded(pixels(0))[:60], {}, "mine, row 2: the image cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {}, "cannot be decoded"),
        (pixels(0)[None], {}, r"the pixels have the shape \[1, 4, 4, 3\]: expected \[height, width\]"),
        (pixels(0)[..., :2], {}, r"the shape \[4, 4, 2\]: .* 1, 3 or 4 channels"),
        (pixels(0).astype(int), {}, r"pixels are int64: expected uint8 \(0 to 255\) or floats"),
        (pixels(0) / 255, {"size": (2, 2)}, r"taken as they are, 3 channel\(s\) of 4 × 4; .* 3 channel\(s\) of 2 × 2"),
        (pixels(0) / 255, {"channels": 1}, r"the model takes 1 channel\(s\): bring them into that form"),
        (encoded(pixels(0, 5, 4)), {}, r"row 2: the image has 5 × 4 pixels \(uint8\), but mine, row 1 has 4 × 4"),
        (np.float32(pixels(0)), {}, r"row 2: the image has 4 × 4 pixels \(float32\), but mine, row 1 .*\(uint8\)"),
    ],
)
def test_images_that_cannot_be_used_are_named_with_their_row(value: Any, form: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_images(_table([encoded(pixels(1)), value]), "image", ImageForm(**form))


@pytest.mark.parametrize(("dtype", "what"), [("int32", "whole"), ("float32", "fractional")])
def test_pixels_of_thirty_two_bits_are_refused(tmp_path: Path, dtype: str, what: str) -> None:
    image.fromarray(np.ones((2, 2), dtype=dtype)).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match=f"the image has {what} numbers of 32 bits as pixels"):
        _read(str(tmp_path / "a.tiff"))


@pytest.mark.parametrize("value", [None, 3, "", [1], {"path": "a.png"}, {"bytes": None, "path": None}])
def test_what_is_no_image_is_refused_with_its_row(value: Any) -> None:
    with pytest.raises(DataError, match=r"mine, row 2: 'image' is .*, no image: .* by the setting 'image'"):
        image_keys(_table([b"x", value]), "image")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"no column 'picture' \(did you mean 'pictures'\?\).* the setting 'image'"):
        image_keys(table_of([{"pictures": b"x"}], "mine"), "picture")


def test_files_that_are_not_there_are_named_with_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"mine, row 1: there is no image {tmp_path}/a\.png: .* folder of the table"):
        require_files(_table(["a.png"], tmp_path), "image")
    require_files(_table([encoded(pixels(0)), pixels(0)], tmp_path), "image")


def test_images_are_told_apart_by_bytes_pixels_or_names() -> None:
    values = [
        b"x",
        {"bytes": b"x", "path": "a"},
        b"y",
        "a",
        {"bytes": None, "path": "a"},
        pixels(0),
        pixels(0),
        pixels(1),
    ]
    keys = image_keys(_table(values), "image")
    assert [keys.index(key) for key in keys] == [0, 0, 2, 3, 3, 5, 5, 7]


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"'pillow'.*pip install 'paretomerge\[images\]'"):
        _read(b"x")
    assert _read(np.zeros((2, 2, 3))).shape == (3, 2, 2)  # nothing to decode
