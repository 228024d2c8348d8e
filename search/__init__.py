"""What to try next, and what has been found."""
