"""An API server that is not there: enough of it for a driver in any language, with faults and a record of everything.

`store` holds objects and the log of their changes; `server` speaks HTTP; `rules` refuses what a real server refuses;
`patches`, `selectors` and `discovery` are what their names say.
"""

from fairlead.conformance.apiserver.resources import CLAIMS, NODES, PODS, SLICES, Resource
from fairlead.conformance.apiserver.rules import Json, decode
from fairlead.conformance.apiserver.server import ApiServer, Call, Fault
from fairlead.conformance.apiserver.store import Change, RefusedError, Store

__all__ = [
    "CLAIMS",
    "NODES",
    "PODS",
    "SLICES",
    "ApiServer",
    "Call",
    "Change",
    "Fault",
    "Json",
    "RefusedError",
    "Resource",
    "Store",
    "decode",
]
