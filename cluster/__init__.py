"""The topology of a cluster: three nodes behind HAProxy, on a Postgres and a Redis.

`haproxy.cfg` is the balancer's configuration, for docker compose as for `./dev cluster`; `topology`
starts the processes, for `./dev cluster` as for the tests.
"""
