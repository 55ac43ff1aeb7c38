"""The topology of a cluster: three nodes behind HAProxy, on a Postgres and a Redis.

`haproxy.cfg` configures the balancer, both for docker compose and for `./dev cluster`; `topology`
starts the processes, both for `./dev cluster` and for the tests.
"""
