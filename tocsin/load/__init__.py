"""`tocsin load`: load on a deployment of one's own, and an account of each notification.

`plan` has the parameters and the thresholds, `books` the account of posts and pushes for each user;
`device` and `producer` are the clients, `engine` runs them, `verdict` judges and `report` tells.
"""
