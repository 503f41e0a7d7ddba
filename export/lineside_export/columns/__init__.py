"""Columns of text: codes for the device, texts for the original model, look-up tables in the graph."""
