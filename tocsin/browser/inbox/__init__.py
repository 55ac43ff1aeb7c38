"""`@tocsin/inbox`: the element `<tocsin-inbox>`, a bell with an inbox, and its package for npm."""
