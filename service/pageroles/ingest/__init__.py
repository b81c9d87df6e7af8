"""Files → sessions → the store."""
