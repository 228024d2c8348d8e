"""Runs the trials of a search with Ray Tune."""

from __future__ import annotations

from typing import Any

from ray import tune

from search.controller.place import Place

MANY = 10_000
"""More trials than any cluster has places for: :attr:`Place.most` limits them."""


def run_trials(trainable: type[tune.Trainable], parameters: dict[str, Any], searcher: Any, place: Place) -> None:
    """Runs Tune until the searcher is finished (minutes to hours).

    Reuses actors, which needs the checkpoint setting. Never repeats a trial by itself: the searcher decides.
    """
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, **parameters, **place.parameters), dict(place.resources)),
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, max_concurrent_trials=MANY, reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=str(place.folder),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()
