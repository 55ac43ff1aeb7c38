"""HTTP/1.1 on one connection: what a request's body is, how it is answered, and the loop between.

connection ── the loop: read a head, have it answered, go on
    body ── how long the body is, and where it ends (pure)
    response ── an answer as bytes (pure)
    lean_lane ── the hot operations, straight from the socket to the handler
    asgi_lane ── everything else: one request on Hypercorn and Quart
shared ── what all connections share: limits, the application
host ── all connections, and their end
"""
