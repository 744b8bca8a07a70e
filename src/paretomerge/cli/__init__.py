"""The command line: one file per verb, each a thin shell over a public function.

Importing this package must not import torch: `paretomerge --help` answers at once.
"""

from paretomerge.cli.app import main

__all__ = ["main"]
