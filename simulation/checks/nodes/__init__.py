"""P5 to P8: nodes agree, answer, say what they know, and keep no more than they need."""
