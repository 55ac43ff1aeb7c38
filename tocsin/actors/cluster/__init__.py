"""The bridge to the other nodes: what is said over the bus, what is heard, and what was missed."""
