"""P1 and P3: a notification that was accepted is delivered, or kept as a letter, once, in order."""
