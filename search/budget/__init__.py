"""Time budgets: how a job's time is divided between its phases, and how long measurements may take."""
