from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paretomerge.errors import CheckpointError, DataError
from paretomerge.problems.image_forms import PREPROCESSOR, ImageForm, image_form
from paretomerge.problems.models import read_model


def _form(folder: Path, said: Any = None, config: dict[str, Any] | None = None, **settings: Any) -> ImageForm:
    (folder / "config.json").write_text(json.dumps(config or {}))
    if said is not None:
        (folder / PREPROCESSOR).write_text(said if isinstance(said, str) else json.dumps(said))
    return image_form(read_model(folder), **settings)


def test_a_module_of_ones_own_takes_images_as_they_are() -> None:
    assert image_form(None) == ImageForm(None, None, None, 2, 3, 1 / 255, (0.0,), (1.0,))
    own = image_form(None, size=[3, 4], mean=0.5, std=(1, 2, 4))
    assert (own.size, own.mean, own.std) == ((3, 4), (0.5,), (1.0, 2.0, 4.0))
    assert image_form(None, size=7, channels=1) == ImageForm(size=(7, 7), channels=1)


HALF = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"size": {"height": 4, "width": 6}, "resample": 3}, {"size": (4, 6), "resample": 3}),
        ({"size": 8}, {"size": (8, 8)}),
        ({"size": 8, "do_center_crop": True, "crop_size": 6}, {"short_edge": 8, "crop": (6, 6)}),
        (
            {"size": {"shortest_edge": 9}, "do_center_crop": True, "crop_size": {"height": 5, "width": 7}},
            {"short_edge": 9, "crop": (5, 7)},
        ),
        ({"size": {"shortest_edge": 9}, "do_center_crop": False, "crop_size": 5}, {"short_edge": 9}),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, {"short_edge": 256, "crop": (224, 224)}),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, {"size": (384, 384)}),
        ({"size": 8, "do_resize": False}, {}),
        (HALF, {"mean": (0.5,) * 3, "std": (0.25,) * 3}),
        (HALF | {"do_normalize": False}, {}),
        ({"do_rescale": False}, {"scale": 1.0}),
        ({"rescale_factor": 0.5}, {"scale": 0.5}),
    ],
)
def test_the_preprocessor_beside_a_model_is_followed(tmp_path: Path, said: Any, expected: dict[str, Any]) -> None:
    assert _form(tmp_path, said) == ImageForm(**expected)


def test_the_configuration_says_size_and_channels_where_nothing_else_does(tmp_path: Path) -> None:
    assert _form(tmp_path, None, {"image_size": 12, "num_channels": 1}) == ImageForm(size=(12, 12), channels=1)
    assert _form(tmp_path, {"size": 6}, {"image_size": 12}) == ImageForm(size=(6, 6))


def test_settings_are_put_before_what_the_model_says(tmp_path: Path) -> None:
    said = {"size": {"shortest_edge": 9}, "do_center_crop": True, "crop_size": 5, **HALF}
    form = _form(tmp_path, said, size=3, mean=0, std=(1.0,), channels=1)
    assert form == ImageForm(size=(3, 3), channels=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size: give the pixels of a side, or height and width, got 0"),
        ({"size": (1, 2, 3)}, r"size: .* got \(1, 2, 3\)"),
        ({"size": (1.5, 2)}, "size: "),
        ({"channels": 2}, r"channels: images have 1 \(grey\), 3 \(colours\) or 4 \(and opacity\), got 2"),
        ({"mean": (0.1, 0.2)}, r"mean: give one number, or one of each of 3 channels, got \[0\.1, 0\.2\]"),
        ({"std": (1, 1, 1), "channels": 1}, "std: give one number, or one of each of 1 channels"),
        ({"std": 0.0}, "std: pixels are divided by it, so it must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        image_form(None, **settings)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{", rf"{PREPROCESSOR} is not JSON"),
        ("[]", "expected an object, got list"),
        ({"size": {"longest_edge": 4}}, r"cannot be understood \('height'\): name size, mean and std in the settings"),
        ({"image_mean": [0.5]}, r"cannot be understood \('image_std'\)"),
        ({"image_mean": ["x"], "image_std": [1]}, "cannot be understood"),
        ({"size": 4, "rescale_offset": True}, "changed by 'rescale_offset', which is not done here: write a problem"),
    ],
)
def test_preprocessors_that_are_not_understood_are_refused(tmp_path: Path, said: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        _form(tmp_path, said)
