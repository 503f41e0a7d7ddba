"""The exporter beside scikit-learn itself, skl2onnx, onnxruntime's quantizers and compilers of trees."""
