"""Makes up the techniques' own metrics in a dry run, which builds nothing that they could be computed from."""

from __future__ import annotations

from collections.abc import Mapping

from evaluators.metrics import Metric
from hwprofiles import digest_of


def invent_own_metrics(rows: Mapping[str, Metric], digest: str | None) -> dict[str, float]:
    """Makes up the metrics with these rows for a candidate, by its digest; for None, those of the fp32 model.

    >>> invent_own_metrics({"codebook_bytes": Metric("Size of the codebooks", "B", "min")}, None)
    {'codebook_bytes': 1.0}
    """
    usual = {name: 1.0 if row.baseline is None else row.baseline for name, row in rows.items()}
    if digest is None:
        return usual
    return {name: round(value * int(digest_of([name, digest])[:8], 16) / 2**32, 6) for name, value in usual.items()}
