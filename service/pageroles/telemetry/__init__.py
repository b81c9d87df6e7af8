"""What a server tells those who watch it: the log, metrics and traces."""
