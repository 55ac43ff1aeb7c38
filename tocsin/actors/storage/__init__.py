"""The storage actor: what the node writes, many commands in one transaction, and what it reads.

It commits in the order in which it was asked, and announces what was committed in that order. The
ledger of deliveries is written along, in transactions that are there anyway.
"""
