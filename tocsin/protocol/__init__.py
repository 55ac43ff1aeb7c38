"""The contract as pure values and machines, without I/O, clock, Trio or randomness.

Time and entropy come in as arguments; frames and events go out as values. Everything here is
tested without an event loop.
"""
