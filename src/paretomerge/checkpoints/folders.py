"""What the files of a checkpoint folder are called."""

from __future__ import annotations

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What a Hugging Face folder may hold, first choice first (the order transformers uses)."""

MANIFEST = "paretomerge.json"
"""What paretomerge remembers of how a folder was made; written last."""
