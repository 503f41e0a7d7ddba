"""Neural networks that scikit-learn did not train: ONNX files, and PyTorch modules made into such.

files: which ones. meaning: what a file does not say and the user does. read: an ONNX file, checked. fixed: its inputs
that take no readings. wide: float16 as float32. onnx_file, torch_file: the originals. layout: how a window becomes a
network's input. heads: what its output means. modern: the same network, easier to work with. branches: those that
only sizes decide on. naming: all names in a graph. join: the graph for the device. network: all of it together.
"""
