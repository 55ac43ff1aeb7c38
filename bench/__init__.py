"""`./dev bench`: what a node costs, measured from outside on real processes and sockets."""
