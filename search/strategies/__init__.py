"""Strategies: propose the next candidates. A new strategy is one file here, one line below, and one test class."""

from hwprofiles.plugins import Registry
from search.options import StrategyOptions
from search.strategies.base import LatencyPredictor, Result, Reward, Strategy, StrategyContext
from search.strategies.bayesian import Bayesian
from search.strategies.evolution import Evolution
from search.strategies.fliqs import Fliqs
from search.strategies.n2n import N2n
from search.strategies.nsga2 import Nsga2
from search.strategies.random import RandomSearch
from search.strategies.sensitivity import Sensitivity
from search.strategies.staged import Staged

STRATEGIES: Registry[Strategy] = Registry(
    "paretune.strategies",
    {
        "bayesian": Bayesian,
        "evolution": Evolution,
        "fliqs": Fliqs,
        "n2n": N2n,
        "nsga2": Nsga2,
        "random": RandomSearch,
        "sensitivity": Sensitivity,
        "staged": Staged,
    },
)

__all__ = [
    "STRATEGIES",
    "Bayesian",
    "Evolution",
    "Fliqs",
    "LatencyPredictor",
    "N2n",
    "Nsga2",
    "RandomSearch",
    "Result",
    "Reward",
    "Sensitivity",
    "Staged",
    "Strategy",
    "StrategyContext",
    "StrategyOptions",
]
