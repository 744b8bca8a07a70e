"""What can be known of a recipe before a minute is spent, check by check."""
