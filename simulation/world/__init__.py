"""The simulated world: time, chance, network, services, nodes, and the record of what happened."""
