"""Default size limits of an agent."""

DEFAULT_CACHE_BYTES = 4 * 2**30
DEFAULT_MAX_MODEL_BYTES = 2**31 - 1
