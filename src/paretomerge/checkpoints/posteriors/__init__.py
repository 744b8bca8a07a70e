"""Posteriors on disk."""
