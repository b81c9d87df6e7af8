"""One question → the counts that answer it."""
