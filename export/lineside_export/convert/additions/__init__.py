"""Converters that skl2onnx lacks, or gets wrong: taught to it, so that they work wherever in a model they stand.

One file a family of transformers, each with a `write`; `registry` holds the table of them. Models that predict are
in `lineside_export.rewrites`, which also folds scalers into them; those that skl2onnx lacks are taught to it too.
"""
