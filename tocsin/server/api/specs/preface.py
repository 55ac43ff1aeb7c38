"""The knowledge needed for the first call: where credentials come from, and what errors say."""

from __future__ import annotations

from html import escape

from tocsin.protocol.problems import CREDENTIAL_PROBLEMS, PROBLEMS
from tocsin.server.api.specs.openapi import AUTH_CODES
from tocsin.server.api.specs.tables import inline, table

_WAYS = (
    (
        "A user's token",
        "for their inbox, devices and streams",
        "tocsin token ada",
    ),
    (
        "A producer's key",
        "to post; it does not expire, and can be revoked",
        "tocsin key create --scope notify --name shop",
    ),
    (
        "An operator's token",
        "for what needs the scope `admin`",
        "tocsin token root --scope admin",
    ),
)


def credentials_section() -> str:
    """Where tokens and keys come from, and the field that the forms take one from."""
    rows = [
        (f"<b>{escape(name)}</b>, {inline(use)}", f"<code>{escape(command)}</code>")
        for name, use, command in _WAYS
    ]
    return (
        '<section id="credentials"><h2>Tokens and keys</h2>'
        "<p>Most calls ask for one, as <code>Authorization: Bearer …</code>. On the machine of the "
        "server a command makes it; in a clone of the repository that command is "
        "<code>./dev</code> instead of <code>tocsin</code>.</p>"
        f"{table(('what', 'how'), rows)}"
        "<p>In production, users' tokens are JWTs of your own backend or identity provider: see "
        "<code>jwt_secret</code>, <code>jwt_public_key</code> and <code>jwks_url</code> among the "
        "settings. The examples below take what was printed from a variable of the shell:</p>"
        "<pre><code>TOKEN=$(tocsin token ada)</code></pre>"
        '<div class="paste needs-script"><label for="token">Paste one here, and every form on this '
        "page calls with it. It stays in this page, and is forgotten with it.</label>"
        '<input id="token" type="password" autocomplete="off" spellcheck="false"'
        ' placeholder="eyJ… or tk_…"><p class="soft" id="told" aria-live="polite"></p></div>'
        "</section>"
    )


def errors_section() -> str:
    """Every code, once."""
    rows = [
        (str(kind.status), _code(code), inline(f"{kind.title}. {kind.advice}"))
        for code, kind in sorted(PROBLEMS.items(), key=lambda each: each[1].status)
    ]
    own = [
        (str(status), _code(code), inline(CREDENTIAL_PROBLEMS[code].advice))
        for status, codes in AUTH_CODES.items()
        for code in codes
    ]
    heads = ("status", "code", "meaning")
    return (
        '<section id="errors"><h2>Errors</h2>'
        "<p>An error is <code>application/problem+json</code>, and its <code>code</code> is the "
        "word to go by:</p>"
        f"{table(heads, rows)}"
        "<h4>Codes of credentials</h4>"
        "<p>Where a credential is asked for, <code>code</code> says what is wrong with it:</p>"
        f"{table(heads, own)}</section>"
    )


def _code(code: str) -> str:
    return f'<code id="error-{code}">{code}</code>'
