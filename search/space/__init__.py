"""Search spaces: decisions, spaces and candidates as plain frozen data."""
