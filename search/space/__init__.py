"""What there is to decide: decisions, spaces and candidates as plain frozen data."""
