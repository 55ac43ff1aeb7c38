"""TLS to brokers, by an authority of the operator's or those that the system knows."""

from __future__ import annotations

import ssl

from tocsin.persistence.source import SourceRefused


def tls_of(ca_file: str | None) -> ssl.SSLContext:
    """A context that verifies servers, by the certificate in *ca_file* if one is named.

    Raises `SourceRefused` if that cannot be read.
    """
    try:
        tls = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SourceRefused(f"the file with the authority's certificate: {error}") from error
    # From 3.13 on, Python asks for extensions that `openssl req -x509` leaves out.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return tls
