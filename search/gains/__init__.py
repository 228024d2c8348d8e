"""What a device answers about a model as a whole and layer by layer: which settings are faster there."""
