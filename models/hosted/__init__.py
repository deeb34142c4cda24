"""Anything else with `predict`: the object stays in a capped child of its own (`loaders.hosting`); nothing of it is in the segment."""
