"""Checkpoints that appear complete or not at all."""
