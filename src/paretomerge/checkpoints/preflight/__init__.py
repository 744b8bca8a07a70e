"""The check before a merge: what does not fit, and what it would take."""
