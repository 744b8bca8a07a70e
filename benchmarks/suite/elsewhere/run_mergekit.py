"""Runs in mergekit's own environment: `mergekit-pytorch` on one configuration after the other, imported once.

python run_mergekit.py SEED CONFIG...      # CONFIG-out is written for each, and the version printed
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from mergekit.scripts.merge_raw_pytorch import main

if __name__ == "__main__":
    for config in sys.argv[2:]:
        main([config, f"{config}-out", "--random-seed", sys.argv[1], "--quiet"], standalone_mode=False)
    print(version("mergekit"))
