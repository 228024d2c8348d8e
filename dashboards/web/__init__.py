"""The pages: what a person sees of jobs and fronts in a browser.

Nothing is imported here: the command line uses the formats, which need no web framework.
"""
