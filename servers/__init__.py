"""Processes that the tools and the tests start on this machine, and throw away afterwards.

There is a module for each: our `node`, the services that it needs (`postgres`, `redis`), proxies
before it (`haproxy`, `nginx`, `caddy`, `traefik`), and a browser. None needs root or a container. A
class starts, stops, kills or pauses its process, and knows its address and its log. The process
ends with the one that started it, however that one ends. The verbs of tests, such as a device that
expects a push, stand with the tests, in `*_kit.py`.
"""
