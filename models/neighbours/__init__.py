"""Items and how alike they are: a score is what someone's items have in common with another."""
