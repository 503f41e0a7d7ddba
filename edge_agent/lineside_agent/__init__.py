"""The device's side: sensors, model, outbox, broker."""

import os

# onnxruntime 1.29 and newer report to their maker by default: model and graph names, hashes, the machine. A
# device beside a machine calls nobody's home; whoever wants that sets the variable. Read when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
