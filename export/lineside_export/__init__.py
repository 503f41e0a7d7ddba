"""The workstation's side: a trained model becomes a quantized, verified bundle."""
