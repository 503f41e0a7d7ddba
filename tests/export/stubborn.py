"""A model that does not answer as its name says, as a file from another version or a patched library might."""

from __future__ import annotations

import numpy as np
from sklearn import linear_model


class LogisticRegression(linear_model.LogisticRegression):  # type: ignore[misc]
    """Takes the second class only if it is sure."""

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return the classes."""
        return self.classes_[(self.predict_proba(rows)[:, 1] > 0.8).astype(int)]
