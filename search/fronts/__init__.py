"""Which candidates are best: objectives, constraints, dominance, and fronts as the store keeps them."""
