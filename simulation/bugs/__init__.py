"""Mutants: bugs planted in the product, each of which some check has to find."""
