"""Where a model is while it is measured, for models that fit on no single device."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from paretomerge.recipes.section import Section

WAYS = ("auto", "balanced", "balanced_low_0", "sequential")


class PlacementSection(Section):
    """Layers on several devices, in the main memory and on the disk; see `problems.placement`.

    Args:
        device_map: how accelerate divides the model by itself, or layer → device (`cpu`, `disk`, `cuda:1`, `1`).
        max_memory: device → bytes, or such as `20GiB`.
        offload: the folder for layers on the disk; the run's own by default.
        dtype: of the parameters; as they are built by default, which is float32.
    """

    device_map: str | dict[str, str] = "auto"
    max_memory: dict[str, str] | None = None
    offload: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None

    @field_validator("device_map", "max_memory", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        """Numbers of devices and of bytes are texts."""
        if isinstance(value, dict):
            return {str(key): str(each) if isinstance(each, int) else each for key, each in value.items()}
        return value

    @field_validator("device_map")
    @classmethod
    def _known(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        """A word that accelerate knows."""
        if isinstance(value, str) and value not in WAYS:
            raise ValueError(f"must be one of {', '.join(WAYS)}, or a mapping of layers to devices, got {value!r}")
        return value
