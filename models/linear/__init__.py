"""Linear models of sklearn, alone or behind scalers and imputers in a Pipeline."""
