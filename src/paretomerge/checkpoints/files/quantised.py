"""Refusing quantised checkpoints: their tensors are codes, and sums of codes are not weights.

Averages, task vectors and precisions need the values, so a model in int8, 4 bits or float8 has to be brought to
a floating-point dtype first, once, by the library that quantised it.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.errors import CheckpointError

MARKS = {
    ".qweight": "GPTQ or AWQ",
    ".qzeros": "GPTQ or AWQ",
    ".SCB": "bitsandbytes, int8",
    ".absmax": "bitsandbytes, 4 bits",
    ".quant_map": "bitsandbytes, 4 bits",
    ".weight_scale_inv": "float8 with scales per block",
    ".weight_scale": "float8 or int8 with scales",
    ".weight_packed": "compressed-tensors",
    "_packed_params": "PyTorch's quantised modules",
}
"""Ends of tensor names that only quantised checkpoints have, and who writes them."""

CODES = (
    *(getattr(torch, name) for name in dir(torch) if name.startswith("float8_")),
    *(torch.int8, torch.uint8),
)
"""Dtypes that weights have only when they are codes."""

WEIGHTS = ("weight", "_proj", "_blocks")
"""Ends of the names of weights: linear layers, fused experts, MXFP4. Masks and counters may well be integers."""

WAY_OUT = (
    "Give the model it was quantised from, or bring it back to floating point once:  "
    "AutoModelForCausalLM.from_pretrained(folder).dequantize().save_pretrained(new_folder)"
)


def require_not_quantised(checkpoint: Checkpoint) -> Checkpoint:
    """`checkpoint` itself, if its configuration and its tensors are those of a model that is not quantised.

    Looked at are `quantization_config` in the folder's `config.json`, the names of the tensors, and the dtypes
    of those whose name is that of a weight. No values are read.

    Raises:
        CheckpointError: it is quantised; the message says what was seen, and how to get the values back.
    """
    where = checkpoint.source or "the parameters"
    # the base of an adapter was looked at when it was opened; what lies beside the adapter may describe another
    method = _method_in_config(checkpoint.source) if not checkpoint.is_adapter else None
    if method is not None:
        raise CheckpointError(f"{where}: config.json has a quantization_config ({method}): {_reason()}")
    for name in checkpoint:
        for mark, writer in MARKS.items():
            if name.endswith(mark):
                raise CheckpointError(f"{where}: holds {name!r}, as quantised models do ({writer}): {_reason()}")
        dtype = checkpoint.spec(name).dtype
        if dtype in CODES and name.endswith(WEIGHTS):
            raise CheckpointError(f"{where}: {name!r} is {dtype}: {_reason()}")
    return checkpoint


def _reason() -> str:
    return f"its numbers are codes, which cannot be averaged. {WAY_OUT}"


def _method_in_config(source: Path | None) -> str | None:
    """The method that `config.json` names, `None` without such an entry."""
    if source is None or not (source / "config.json").is_file():
        return None
    with storage_errors(source / "config.json", "read"):
        raw = (source / "config.json").read_bytes()
    try:
        config = json.loads(raw)
        found = config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config")
        if not found:
            return None
        return str(found.get("quant_method") or next(iter(found), "no method named"))
    except (ValueError, AttributeError, RecursionError):
        return None  # a broken configuration is for whoever needs it
