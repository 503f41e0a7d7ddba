"""Models as a few matrix products, where skl2onnx writes loops or one node for every step.

One file a family; `write` holds the table of them. Each rewrite computes what scikit-learn computes, in another
order; whether it comes to the same is not believed but verified, beside skl2onnx's own graph.
"""
