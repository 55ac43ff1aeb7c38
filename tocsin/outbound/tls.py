"""TLS towards servers of others: whose certificates are accepted."""

from __future__ import annotations

import ssl


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A context that verifies servers by *ca_file*, or else by the machine's authorities.

    From 3.13 on, Python's contexts ask for extensions that `openssl req -x509` leaves out, so
    authorities of operators' own, made with it years ago, would be refused. Raises `OSError` if
    there is no such file, or no certificate in it.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
