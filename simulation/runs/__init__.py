"""Runs: one and many, their figures and reports, shrinking of failures, and kept cases."""
