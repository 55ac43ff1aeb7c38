"""The load kit: books that believe nobody, and clients that are fair."""
