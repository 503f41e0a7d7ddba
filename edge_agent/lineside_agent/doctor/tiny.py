"""A model of 268 bytes and its right answers: run in a process of its own, it shows that onnxruntime computes.

It is a graph of two products with matrices of ones, one in float32 (each 0.5) and one in int8 behind
DynamicQuantizeLinear: the two ways in which bundles multiply, each with its own instructions on a processor.
"""

from __future__ import annotations

import base64
import sys

MODEL = base64.b64decode(
    "CAg6gQIKMQoBcxIBdyIPQ29uc3RhbnRPZlNoYXBlKhgKBXZhbHVlKgwIARABIgQAAAA/QgCgAQQKEQoBeAoBdxIBeSIGTWF0TXVs"
    "Ci4KAXMSAXYiD0NvbnN0YW50T2ZTaGFwZSoVCgV2YWx1ZSoJCAEQAyoBAUIAoAEECiMKAXgSAXESAXISAXAiFUR5bmFtaWNRdWFu"
    "dGl6ZUxpbmVhcgobCgFxCgF2CgFwEgF6Ig1NYXRNdWxJbnRlZ2VyEgFnKgsIAhAHOgJAQEIBc1oRCgF4EgwKCggBEgYKAAoCCEBi"
    "EQoBeRIMCgoIARIGCgAKAghAYhEKAXoSDAoKCAYSBgoACgIIQEIECgAQDQ=="
)
WIDTH = 64
# Half the sum of 0 to 63; and the sum of the same numbers as int8 writes them, round(x * 255 / 63).
FLOAT, INTEGER = 1008.0, 8160


def main() -> int:
    """Run the model and print nothing, or what is wrong."""
    import numpy as np  # noqa: PLC0415  this file is imported where neither may be
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    floats, integers = session.run(["y", "z"], {"x": np.arange(WIDTH, dtype=np.float32)[None]})
    if not np.allclose(floats, FLOAT) or not (integers == INTEGER).all():
        print(f"{floats.flat[0]:g} and {integers.flat[0]} instead of {FLOAT:g} and {INTEGER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
