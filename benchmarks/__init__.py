"""Benchmarks: one script a claim, run as a module; the results lie in `results/`."""
