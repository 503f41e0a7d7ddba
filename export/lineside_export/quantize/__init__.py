"""The ways to store a model in fewer bits. Each takes a float32 graph and answers with another one.

layers: which weights there are to store. weights: fewer bits in the file, float32 when it runs. blocks: four bits,
also when it runs. integers: integer arithmetic, by onnxruntime's quantizers. ranges: of the activations. devices:
whose integer arithmetic. noise: what it does to the outputs. partial: what is better left alone.
"""
