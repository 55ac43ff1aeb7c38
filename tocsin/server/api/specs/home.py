"""The page at `/`: what this is, whether it works, and where to go."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

from tocsin import __version__
from tocsin.server.api.specs.parts import BELL, HtmlPage, make_page

CONSOLE = "/console"
_WAYS = (
    (
        "/docs",
        "Documentation",
        "Every call, frame, error and field, with forms to try them.",
    ),
    (CONSOLE, "Console", "What this server is doing, for operators."),
    ("/openapi.json", "OpenAPI", "The HTTP API, for programs."),
    ("/asyncapi.json", "AsyncAPI", "The frames and events, for programs."),
    ("/tocsin.proto", "Protocol Buffers", "The frames, for the binary subprotocol."),
    ("/readyz", "Readiness", "The check above, for load balancers."),
)


def home_page(paths: Collection[str]) -> HtmlPage:
    """The page of a server that serves *paths*: it leads to nothing else."""
    ways = "".join(
        f'<li><a href="{path}">{escape(name)}</a><p>{escape(about)}</p></li>'
        for path, name, about in _WAYS
        if path in paths
    )
    body = (
        f"<main><header>{BELL}<div><h1>Tocsin</h1><p>Release {escape(__version__)}</p></div>"
        "</header>"
        """<p class="lead">This server delivers notifications to people's devices and knows that """
        "they arrived. A backend posts one over HTTP; each device of each recipient gets it over "
        "WebSocket, Server-Sent Events or long polling, again and again until that device has "
        "acknowledged it.</p>"
        '<section class="status" id="status" aria-live="polite"><h2>Does it work?</h2>'
        '<p><span class="no-script">Ask <a href="/readyz">/readyz</a>.</span>'
        '<span class="needs-script">It is being asked.</span></p><ul class="hops"></ul></section>'
        f'<h2>Where to go</h2><ul class="ways">{ways}</ul>'
        "<h2>Try it</h2>"
        "<p>On the machine of the server, in two terminals. In a clone of the repository the "
        "command is <code>./dev</code> instead of <code>tocsin</code>.</p>"
        "<pre><code>tocsin listen ada</code></pre>"
        '<pre><code>tocsin send ada "Hello, Ada"</code></pre>'
        "<footer>Everything on this page comes from this server.</footer></main>"
    )
    return make_page("Tocsin", body, style="home.css", script="home.js")
