"""People whom no device reaches: plans, preferences, and the carriers of sends."""
