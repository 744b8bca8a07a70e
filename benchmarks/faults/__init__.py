"""Faults that were injected into the commands, and what became of them."""
