"""Names, private tensors and vocabularies made to fit, without copying a checkpoint."""
