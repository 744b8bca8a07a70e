"""Measuring the merged models of a run: by one process or several, their means or draws of them."""
