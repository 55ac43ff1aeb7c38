"""The simulation: a whole cluster in one process, from a seed; see docs/simulation.md."""
