"""The form in which a model takes images: size, channels, and how pixels become numbers.

What `preprocessor_config.json` beside a Hugging Face model says is done as transformers does it with Pillow: resize,
cut out the middle, scale, normalise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paretomerge.errors import CheckpointError, DataError
from paretomerge.problems.models import ModelFolder

PREPROCESSOR = "preprocessor_config.json"
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""What Pillow calls images of so many channels."""

BILINEAR = 2
"""Pillow's number of the way to resize that is usual."""

_UNKNOWN = ("rescale_offset", "do_flip_channel_order", "do_pad", "include_top")
"""Steps of some models that change pixels and are not done here."""

Size = tuple[int, int]


@dataclass(frozen=True)
class ImageForm:
    """How an image is brought into form, in this order.

    Args:
        short_edge: pixels of the shorter edge after resizing at the same aspect; not resized so when `None`.
        size: height and width to resize to, whatever the aspect; not resized so when `None`.
        crop: height and width of the middle that is cut out; all of the image when `None`.
        resample: Pillow's number of the way to resize.
        channels: 1 (grey), 3 (red, green, blue) or 4 (and opacity).
        scale: what pixels of 0 to 255 are multiplied with.
        mean, std: of every channel, subtracted from scaled pixels and divided by.
    """

    short_edge: int | None = None
    size: Size | None = None
    crop: Size | None = None
    resample: int = BILINEAR
    channels: int = 3
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


def image_form(
    model: ModelFolder | None,
    size: int | Sequence[int] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    channels: int | None = None,
) -> ImageForm:
    """The form that a model's folder names, changed by settings of one's own.

    Args:
        model: the folder of a Hugging Face model; `None` for a module of one's own, which takes images as they are,
            with pixels from 0 to 1.
        size: pixels of a side, or height and width.
        mean: of all channels, or of each.
        std: of all channels, or of each.
        channels: those of the model, else 3.

    Raises:
        DataError: settings that make no sense.
        CheckpointError: a preprocessor of the model that is broken or does what is not known.
    """
    form = ImageForm() if model is None else _form_of(model)
    if channels is not None:
        form = replace(form, channels=channels)
    if form.channels not in MODES:
        raise DataError(f"channels: images have 1 (grey), 3 (colours) or 4 (and opacity), got {form.channels}")
    if size is not None:
        form = replace(form, size=_sides(size), short_edge=None, crop=None)
    form = form if mean is None else replace(form, mean=_numbers(mean))
    form = form if std is None else replace(form, std=_numbers(std))
    for name, values in (("mean", form.mean), ("std", form.std)):
        if len(values) not in (1, form.channels):
            raise DataError(f"{name}: give one number, or one of each of {form.channels} channels, got {list(values)}")
    if not all(value > 0 for value in form.std):
        raise DataError(f"std: pixels are divided by it, so it must be positive, got {list(form.std)}")
    return form


def _form_of(model: ModelFolder) -> ImageForm:
    said = _read(model)
    side = model.config.get("image_size")
    form = ImageForm(channels=int(model.config.get("num_channels") or 3))
    if said is None:
        return replace(form, size=_sides(side)) if side else form
    unknown = [name for name in _UNKNOWN if said.get(name)]
    if unknown:
        raise CheckpointError(
            f"{model.path / PREPROCESSOR}: images of this model are changed by {unknown[0]!r}, which is not done here: "
            "write a problem of your own (problem: file.py:function)"
        )
    try:
        form = replace(form, **_sizes_of(said), resample=int(said.get("resample") or BILINEAR))
        if said.get("do_rescale", True):
            form = replace(form, scale=float(said.get("rescale_factor") or 1 / 255))
        else:
            form = replace(form, scale=1.0)
        if said.get("do_normalize", True) and said.get("image_mean") is not None:
            form = replace(form, mean=_numbers(said["image_mean"]), std=_numbers(said["image_std"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{model.path / PREPROCESSOR}: sizes, mean or std cannot be understood ({error}): name size, mean and std "
            "in the settings, and remove the file"
        ) from error
    return form


def _read(model: ModelFolder) -> Mapping[str, Any] | None:
    if not (model.path / PREPROCESSOR).is_file():
        return None
    said = model.side_file(PREPROCESSOR)
    if not isinstance(said, dict):
        raise CheckpointError(f"{model.path / PREPROCESSOR}: expected an object, got {type(said).__name__}")
    return said


def _sizes_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Which edges an image is resized to, and what is cut out of it."""
    size, crop = said.get("size"), said.get("crop_size")
    crops = bool(said.get("do_center_crop")) and crop is not None
    found: dict[str, Any] = {"crop": _sides(crop) if crops else None}
    if not said.get("do_resize", True) or size is None:
        return found
    if isinstance(size, int):  # older files: a square, or the short edge of what is cut
        return found | ({"short_edge": size} if crops else {"size": (size, size)})
    if "shortest_edge" not in size:
        return found | {"size": _sides(size)}
    edge = int(size["shortest_edge"])
    share = said.get("crop_pct")
    if share is None:
        return found | {"short_edge": edge}
    # ConvNeXt: small images are resized to more than is used, large ones to just what is used.
    return {"short_edge": int(edge / share), "crop": (edge, edge)} if edge < 384 else {"size": (edge, edge)}


def _sides(size: Any) -> Size:
    """Height and width of one number, two, or a mapping.

    Raises:
        DataError: anything else.
    """
    if isinstance(size, Mapping):
        size = (size["height"], size["width"])
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise DataError(f"size: give the pixels of a side, or height and width, got {size!r}")
    return sides


def _numbers(values: float | Sequence[float]) -> tuple[float, ...]:
    return (float(values),) if isinstance(values, int | float) else tuple(float(value) for value in values)
