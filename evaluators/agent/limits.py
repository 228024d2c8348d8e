"""How much an agent takes in, unless it is told otherwise."""

DEFAULT_CACHE_BYTES = 4 * 2**30
DEFAULT_MAX_MODEL_BYTES = 2**31 - 1
