"""Set-ups of training in PyTorch, some with one planted fault, most of them sound: what a doctor for PyTorch is examined on.

Importing this package does not need PyTorch; :func:`benchmarks.torch_setups.case.everything` does.
"""
