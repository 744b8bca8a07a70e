"""Reading ahead and writing behind, in memory that is used again."""
