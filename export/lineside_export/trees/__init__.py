"""Tree ensembles: looked into, and written as small and exact graphs of their own.

estimator --extract, histogram--> Ensemble --fold--> Ensemble --shrink--> Compact --encode--> TreeEnsemble node
steps before it: folded into the thresholds, or a graph by skl2onnx --------------write, links--> model bytes
"""
