"""Files of parameters: what each format is, and how one tensor of it is read."""
