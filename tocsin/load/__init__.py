"""`tocsin load`: load on a deployment of one's own, and an account of each notification.

`plan` says what is done and what is demanded, `books` who should have got what and who did,
`device` and `producer` are the clients, `engine` runs them, `report` tells.
"""
