"""Every scikit-learn estimator through the real export: what docs/coverage.md is written from.

`python -m sklearn_coverage docs/coverage.md`, with this folder's parent on the path, is `make coverage`.
"""
