"""Real hosted models, each in a child of its own."""
