"""Networks that hold smaller networks, which share their weights."""
