"""Run as a program of its own: fuses a transformer's operators with ONNX Runtime's graph tools.

Usage: ``python -P fusion_process.py IN.onnx OUT.onnx HEADS HIDDEN MODEL_TYPE...``

Writes the first result that holds a fused attention and ends with 0; ends with 1 when there is none. It imports nothing
of ours: those tools put their own folder on the module path, configure logging and print, which stays in this process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import onnx

_ATTENTION = ("Attention", "MultiHeadAttention", "GroupQueryAttention")


def main(arguments: Sequence[str]) -> int:
    """See the module's description."""
    from onnxruntime.transformers.fusion_options import AttentionMaskFormat, FusionOptions
    from onnxruntime.transformers.optimizer import MODEL_TYPES, optimize_model

    source, target, heads, hidden, *model_types = arguments
    for model_type in model_types:
        if model_type not in MODEL_TYPES:
            continue
        options = FusionOptions(model_type)
        # Measured on x86: SkipLayerNormalization takes 3.5 times as long as Add and LayerNormalization, BiasGelu twice
        # as long as a bias inside the product and Gelu. An embedding that is fused cannot be quantised any more.
        options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = False
        options.enable_bias_gelu = options.enable_embed_layer_norm = False
        if options.attention_mask_format == AttentionMaskFormat.MaskIndexEnd:
            options.attention_mask_format = (
                AttentionMaskFormat.AttentionMask
            )  # the other one assumes padding at the end
        fused = optimize_model(
            onnx.load(source), model_type, int(heads), int(hidden), optimization_options=options, opt_level=0
        ).model
        if any(node.op_type in _ATTENTION for node in fused.graph.node):
            onnx.save(fused, target)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
