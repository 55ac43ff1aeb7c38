"""A small shop that uses Tocsin as its own developers would: a node, a backend, three devices."""
