"""Those who use the simulated cluster: devices, producers, operators, and what they speak."""
