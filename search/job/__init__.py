"""The job file: parsed, checked, and described by a JSON Schema."""
