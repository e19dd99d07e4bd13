"""NumPy and ONNX Runtime: one path for every model, whatever it restores."""
