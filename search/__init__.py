"""Jobs, candidates, strategies, techniques and fronts: what to try next, and the results."""
