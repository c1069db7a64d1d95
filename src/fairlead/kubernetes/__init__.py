"""The way to an API server: where it is, who we are, requests and their answers. It knows nothing of kinds of objects.

`access` finds the server and our `credentials`; `session` makes requests; `answers` reads what goes wrong.
"""

from fairlead.kubernetes.access import Access, find_access
from fairlead.kubernetes.answers import ServerError, Status
from fairlead.kubernetes.credentials import AccessError, Credentials
from fairlead.kubernetes.session import Session, SocketFactory

__all__ = [
    "Access",
    "AccessError",
    "Credentials",
    "ServerError",
    "Session",
    "SocketFactory",
    "Status",
    "find_access",
]
