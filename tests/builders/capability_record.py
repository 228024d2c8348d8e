"""A capability as a device might have answered."""

from __future__ import annotations

from evaluators.probing.capability import Capability, Sweep, SweepPoint
from evaluators.probing.granularity import Granularity
from hwprofiles import Precision, Profile

WIDTHS = (8, 16, 32, 64)


def capability_of(profile: Profile, *, complete: bool = True, hopeless: bool = False) -> Capability:
    """conv3x3 in fp32 and int8, matmul in int4_weight; the latter does not run at its widest. Where ``hopeless`` int8
    never pays."""
    scale = 0.1 if hopeless else 1.0
    fp32 = tuple(SweepPoint(width, None, None, width / 64) for width in WIDTHS)
    int8 = tuple(
        SweepPoint(width, scale * width / 16, (scale * width / 17, scale * width / 15), 0.25) for width in WIDTHS
    )
    int4 = (
        *(SweepPoint(w, 0.9, (0.8, 0.95), 0.5) for w in WIDTHS[:-1]),
        SweepPoint(64, None, None, None, "crashed: died <b>"),
    )
    return Capability(
        profile.digest,
        profile.runtime,
        profile.runtime_version,
        complete,
        0.2,
        (
            Sweep("conv3x3", Precision.FP32, "", fp32, Granularity(16, 0.01), ("Conv",), False),
            Sweep("conv3x3", Precision.INT8, "uint8", int8, Granularity(None, 0.9), ("QLinearConv",), True),
            Sweep("matmul", Precision.INT4_WEIGHT, "", int4, None, (), None),
        ),
    )
