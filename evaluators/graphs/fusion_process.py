"""A program that fuses a transformer's operators with ONNX Runtime's graph tools.

Usage: ``python -P fusion_process.py IN.onnx OUT.onnx HEADS HIDDEN MODEL_TYPE...``

Writes the first result that has a fused attention and exits with 0; exits with 1 if there is none. It imports none of
our modules: the tools change the module path, configure logging and print, which must stay in this process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import onnx

_ATTENTION = ("Attention", "MultiHeadAttention", "GroupQueryAttention")


def main(arguments: Sequence[str]) -> int:
    """Fuses the model of the command line; returns the exit code."""
    from onnxruntime.transformers.fusion_options import AttentionMaskFormat, FusionOptions
    from onnxruntime.transformers.optimizer import MODEL_TYPES, optimize_model

    source, target, heads, hidden, *model_types = arguments
    for model_type in model_types:
        if model_type not in MODEL_TYPES:
            continue
        options = FusionOptions(model_type)
        # Measured on x86: SkipLayerNormalization takes 3.5 times as long as Add and LayerNormalization, BiasGelu twice
        # as long as a bias inside the product and Gelu. A fused embedding cannot be quantised any more.
        options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = False
        options.enable_bias_gelu = options.enable_embed_layer_norm = False
        if options.attention_mask_format == AttentionMaskFormat.MaskIndexEnd:
            # MaskIndexEnd assumes padding at the end.
            options.attention_mask_format = AttentionMaskFormat.AttentionMask
        fused = optimize_model(
            onnx.load(source), model_type, int(heads), int(hidden), optimization_options=options, opt_level=0
        ).model
        if any(node.op_type in _ATTENTION for node in fused.graph.node):
            onnx.save(fused, target)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
