"""Authentication: from what a client brings to a `Principal`, or a reason why not.

`Authenticator` is the door that the transports knock at. Behind it: `TokenVerifier`
(JSON Web Tokens) with `KeySet` (keys of an identity provider), `KeyRing` (API keys)
and the functions of tickets. The store's part comes in as functions, so
this package knows none of the others.
"""
