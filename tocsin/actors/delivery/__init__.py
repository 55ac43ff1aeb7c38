"""A user and the devices: who is connected, what each was sent, what is sent again and when."""
