"""Lineside measured side by side with what a user would pick instead: `lineside bench all --help`."""
