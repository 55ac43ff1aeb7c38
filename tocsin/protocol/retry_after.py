"""How long a client is asked to stay away, by reason; in seconds.

One number for each reason, whichever transport says it. The delays that a machine works out itself
(a rate limit's, a drain's spread) are not here.
"""

from __future__ import annotations

from typing import Final

SOON: Final = 1.0
"""A queue is full, a request is under way, another node takes over: it passes within a second."""
STORE_AWAY: Final = 2.0
"""The store is looked at each second while it is away, so two seconds see it come back."""
BUS_AWAY: Final = 2.0
"""As for the store: connections to the bus are tried again every second or so."""
DOOR_FULL: Final = 5.0
"""`connections_max` is reached: places come free as devices leave, and each try costs a handshake
at a node that has none to spare."""
FLOODING: Final = 10.0
"""A connection said more than its pace allows: longer than its token buckets take to fill, so that
coming back is not the way to say more."""
