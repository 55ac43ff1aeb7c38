"""The client's side of the wire: following one user's log from one device, and posting to it.

`Follower` is the machine that knows what a client has to know (where it is in the log, when to
acknowledge, whether and when to come back), without I/O. `listening` gives it a socket and a clock.
Both are meant to be read by whoever writes a client in another language.
"""
