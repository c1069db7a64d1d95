"""The lock: a webhook that lets no write take a device that is held.

`Index` knows who holds what, `review` decides on a write, both without IO and without a clock; `serve` joins them to an
API server. `duplicates` finds what is held more than once all the same.
"""

from fairlead.controller.lock.certificates import CertificateError
from fairlead.controller.lock.conflicts import Conflict
from fairlead.controller.lock.duplicates import Duplicate, Holder, duplicates
from fairlead.controller.lock.fetch import fetch
from fairlead.controller.lock.index import Index
from fairlead.controller.lock.review import Request, Response, read, review, write
from fairlead.controller.lock.run import Options, serve

__all__ = [
    "CertificateError",
    "Conflict",
    "Duplicate",
    "Holder",
    "Index",
    "Options",
    "Request",
    "Response",
    "duplicates",
    "fetch",
    "read",
    "review",
    "serve",
    "write",
]
