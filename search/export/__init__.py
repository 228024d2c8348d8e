"""Exports a candidate with a receipt that compares what it claims with what is measured again."""
