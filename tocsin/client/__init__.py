"""The command line as a client: `tocsin_client` has the wire, and the words for the person in front
of the terminal stand here.
"""
