"""P2 to P4: the sessions of devices, frame by frame, and what the ledger says of them."""
