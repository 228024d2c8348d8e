"""A job's time: what it is spent on, and how long measurements may take."""
