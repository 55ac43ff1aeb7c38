"""The clients of the simulated cluster: devices, users, producers and an operator."""
