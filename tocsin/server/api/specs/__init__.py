"""The wire, described by the server itself: OpenAPI, AsyncAPI, and a page.

Everything is made from what the server goes by: the records of the operations, and the types that
requests and frames are read into. Only the examples are written by hand (`examples`); tests check
them against the rest.
"""
