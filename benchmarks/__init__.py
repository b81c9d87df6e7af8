"""Benchmarks of pageroles against the best that others make of the same data. `make bench` runs them."""
