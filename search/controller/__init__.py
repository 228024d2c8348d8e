"""Runs one job: asks the strategy, hands candidates to Ray workers, and confirms the front."""
