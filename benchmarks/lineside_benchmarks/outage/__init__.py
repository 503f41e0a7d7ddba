"""What Lineside, and what a user would pick instead, lose, repeat and delay while things fail."""
