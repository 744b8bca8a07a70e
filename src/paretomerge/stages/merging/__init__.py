"""Merging checkpoints without a run: inputs, streams, mergekit's configurations."""
