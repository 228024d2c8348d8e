"""Training that techniques share: recovery of a changed torch module by fine-tuning and distillation, and sparsity.

The package itself does not import torch; :mod:`search.training.recover`, the losses and the masks do.
"""
