"""What a user would write or install instead of Lineside."""
