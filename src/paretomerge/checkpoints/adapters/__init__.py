"""Low-rank adapters: a base and its changes, read as one model."""
