"""Processes that the tools and the tests start on this machine, and throw away afterwards.

A module for each: our `node`, the services that it stands on (`postgres`, `redis`), what stands in
front of it (`haproxy`, `nginx`, `caddy`, `traefik`), and a browser. None needs root or a container.
A class starts, stops, kills or pauses its process, says where it listens and what it logged; the
process ends with the one that started it, however that one ends. What a test says to a server
stands with the tests, in `*_kit.py`.
"""
