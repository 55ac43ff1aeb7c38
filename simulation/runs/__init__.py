"""Runs: one, many, their figures and reports, and shrinking one that failed."""
