"""How an exported folder is loaded again, as code for its reader."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def read_config(side_files: Iterable[Path]) -> dict[str, Any]:
    """`config.json` among side files; empty where there is none that can be read."""
    for file in side_files:
        if Path(file).name == "config.json":
            try:
                config = json.loads(Path(file).read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                return {}
            return config if isinstance(config, dict) else {}
    return {}


def config_with_dtype(config: Any, dtype: str) -> Any:
    """The same configuration with another dtype wherever it names one, also in its parts (`text_config`).

    >>> config_with_dtype({"dtype": "float32", "text_config": {"torch_dtype": "float32"}}, "bfloat16")
    {'dtype': 'bfloat16', 'text_config': {'torch_dtype': 'bfloat16'}}
    """
    if not isinstance(config, dict):
        return config
    named = ("dtype", "torch_dtype")
    return {key: dtype if key in named else config_with_dtype(value, dtype) for key, value in config.items()}


def class_name(config: Mapping[str, Any]) -> str:
    """The class of transformers that a configuration names."""
    architectures = config.get("architectures")
    first = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    return first if first.isidentifier() else "AutoModel"


def loading_text(config: Mapping[str, Any], base: str, *, adapter: bool = False) -> str:
    """The section on loading; `base` is how the base is called."""
    return f"## Loading\n\n```python\n{_code(config, base, adapter)}\n```\n\nHow it was made is in `paretomerge.json`."


def _code(config: Mapping[str, Any], base: str, adapter: bool) -> str:
    where = "path/to/this/folder"
    origin = base if "/" in base else "path/to/the/base"
    if not config:
        given = f'"{where}", base="{origin}"' if adapter else f'"{where}"'
        return f"from paretomerge.checkpoints import open_checkpoint\n\nparams = open_checkpoint({given})"
    cls = class_name(config)
    if not adapter:
        return f'from transformers import {cls}\n\nmodel = {cls}.from_pretrained("{where}")'
    return (
        f"from peft import PeftModel\nfrom transformers import {cls}\n\n"
        f'model = PeftModel.from_pretrained({cls}.from_pretrained("{origin}"), "{where}")\n'
        "model = model.merge_and_unload()  # leave this out to keep the adapter apart"
    )
