"""Scoring models through the journal: in any order, on parts of the examples, each once."""
