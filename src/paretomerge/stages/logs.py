"""The logger of this package, `logging.getLogger("paretomerge")`: stages at INFO, what matters at WARNING.

It says nothing unless the application that uses the library configures logging; `paretomerge --verbose` does.
"""

from __future__ import annotations

import logging

log = logging.getLogger("paretomerge")
log.addHandler(logging.NullHandler())
