"""`python -m benchmarks.suite.chemistry --assets DIR`."""

from benchmarks.suite.chemistry.run import main

main()
