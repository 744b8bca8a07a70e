"""Where a precision comes from: what has to be known before posteriors of several people are merged."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from paretomerge.errors import PosteriorError

Units = Literal["mean", "sum", "relative"]

UNITS: dict[str, str] = {
    "mean": "curvature of the mean loss of one example",
    "sum": "curvature of the loss summed over all examples",
    "relative": "curvature up to a factor that is not known",
}
"""What one unit of precision means. Merging adds precisions, so those of all tasks must be in one unit."""


@dataclass(frozen=True)
class Provenance:
    """Where a precision comes from, and in which units it is.

    Args:
        route: how it was measured: `"true fisher"`, `"empirical fisher"`, `"gauss-newton"`, `"kfac"`, `"ekfac"`,
            `"ivon"`, `"adam"`, `"squared gradients"`, `"isotropic"`, `"given"`, or a word of an extension.
        location: where in parameter space: `"finetune"`, `"segment"`, `"average"`, `"centred"`, `"trajectory"`.
        examples: how many examples it was measured on; 0 where that is not known.
        units: what one unit of it is, see `UNITS`.
        scale: the same in words, where there is more to say.
        damping: the absolute precision of the prior that was added, averaged over parameters; 0 for bare curvature,
            `None` where that is not known.
        offset: the constant of the predicted loss (`PredictedLoss.offset`); `None` where no loss was measured.
        base: digest of the base model (`digest_params`); empty where it is not known.
        base_name: what the base is called, for messages.
        checkpoint: digest of the finetune.
        version: of the tool that wrote it.
        settings: of the method that measured it.

    Raises:
        PosteriorError: an entry of another type, unknown units, a negative count or damping.

    >>> Provenance("true fisher", "finetune", examples=200).scale
    'curvature of the mean loss of one example'
    """

    route: str = "given"
    location: str = ""
    examples: int = 0
    units: Units = "mean"
    scale: str = ""
    damping: float | None = 0.0
    offset: float | None = None
    base: str = ""
    base_name: str = ""
    checkpoint: str = ""
    version: str = ""
    settings: str = ""

    def __post_init__(self) -> None:
        """Check types and ranges: it may come from a file of somebody else's."""
        for name in ("route", "location", "scale", "base", "base_name", "checkpoint", "version", "settings"):
            if not isinstance(getattr(self, name), str):
                raise PosteriorError(f"provenance: {name} must be text, got {getattr(self, name)!r}")
        if isinstance(self.examples, bool) or not isinstance(self.examples, int) or self.examples < 0:
            raise PosteriorError(f"provenance: examples must be a whole number >= 0, got {self.examples!r}")
        if not isinstance(self.units, str) or self.units not in UNITS:
            raise PosteriorError(f"provenance: unknown units {self.units!r}: one of {', '.join(get_args(Units))}")
        _require_number(self.damping, "damping", lowest=0.0)
        _require_number(self.offset, "offset", lowest=-math.inf)
        if not self.scale:
            object.__setattr__(self, "scale", UNITS[self.units])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, content: Any) -> Provenance:
        """From plain values; entries that a newer version added are left out.

        Raises:
            PosteriorError: no mapping, or entries that cannot be meant.
        """
        if not isinstance(content, Mapping):
            raise PosteriorError(f"provenance must be a mapping, got {type(content).__name__}")
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})


def _require_number(value: object, name: str, lowest: float) -> None:
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # A whole number of JSON may be too large for a float.
    if not (is_number and lowest <= value <= sys.float_info.max and value > -math.inf):  # type: ignore[operator]
        raise PosteriorError(
            f"provenance: {name} must be a finite number{' >= 0' if lowest == 0 else ''}, got {value!r:.50}"
        )
