"""Escalation: plans that are due become sends, and channels carry these."""
