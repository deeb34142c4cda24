"""User and item factors: a score is a dot product (biases are extra columns)."""
