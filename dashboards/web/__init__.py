"""The pages: jobs and fronts in a browser."""
