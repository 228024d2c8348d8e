"""Fronts: objectives, constraints, Pareto dominance, and fronts as stored."""
