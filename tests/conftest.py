"""Set before any test imports NumPy or scikit-learn, and inherited by the programs that the tests start."""

from __future__ import annotations

import os

# Threads that spin while they wait take the cores from the brokers and agents under test: with two cores
# histogram boosting takes ten times as long with two threads as with one.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
