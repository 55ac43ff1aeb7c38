"""Authorities of operators' own are accepted on every Python; whoever they did not sign is not."""

from __future__ import annotations

import ssl

import pytest

from servers.authority import certify
from tocsin.outbound.tls import client_context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A handshake without a network; raises `ssl.SSLError`."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname="127.0.0.1")
    theirs = server.wrap_bio(there, back, server_side=True)
    for side in (ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.fixture
def files(tmp_path):
    return certify(tmp_path / "certified")


@pytest.fixture
def server(files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def test_an_authority_without_the_extensions_of_today_is_accepted(files, server):
    shake_hands(client_context(str(files.authority)), server)


def test_without_being_named_it_is_not(server):
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(), server)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        client_context(str(tmp_path / "none.pem"))
