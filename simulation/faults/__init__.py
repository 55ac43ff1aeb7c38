"""Faults: which ones a run has and when they happen, and how they are done and mended."""
