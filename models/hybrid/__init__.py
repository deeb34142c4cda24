"""A blend of two other models of the registry, its parts: one that knows the items, one that knows who liked what."""
