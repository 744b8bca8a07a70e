"""Fitting the posteriors of a run."""
