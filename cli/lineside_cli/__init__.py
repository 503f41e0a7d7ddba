"""The `lineside` command, and what is run from it alone: broker, watch, demo."""
