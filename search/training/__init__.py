"""Training that techniques share: recovery of a changed torch module by fine-tuning and distillation, and sparsity.

Nothing here imports torch before :mod:`search.training.recover`, the losses or the masks are imported.
"""
