"""Real children over real files."""
