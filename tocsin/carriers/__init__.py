"""Carriers: the hands of a node on its channels. Each is imported where a setting names it."""
