"""`python -m paretomerge`, which is how launchers of several processes start the command line."""

from __future__ import annotations

import sys

from paretomerge.cli import main

if __name__ == "__main__":
    sys.exit(main())
