"""The storage actor: all that the node writes, many commands in one transaction, and all it reads.

It commits commands in the order in which they came, and announces their results in that order. The
ledger of deliveries is written along, in transactions that take place anyway.
"""
