"""Seeded bugs: mutations of the product, each of which some check has to find."""
