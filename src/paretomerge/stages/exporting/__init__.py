"""What a point of the front becomes outside: checkpoint, adapter, configuration, weights."""
