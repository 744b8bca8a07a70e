"""What `init` finds out: which models are in the folders, where their examples are, whether the base has their head."""
