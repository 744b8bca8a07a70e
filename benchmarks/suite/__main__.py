"""`python -m benchmarks.suite SETTING --out DIR`."""

import sys

from benchmarks.suite.run import main

sys.exit(main())
