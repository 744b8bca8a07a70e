"""Joint finetuning of a run's tasks, and what it says of the previews."""
