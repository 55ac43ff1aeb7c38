"""Users and their devices: which are connected, and what each is sent, sent again, and when."""
