"""IBM Spyre cards and their virtual functions: driver `spyre.ibm.com`.

fairlead node --driver spyre

`cards` finds the functions, `layout` reads the topology file, `devices` makes devices of both; `senlib` and `folders`
make what containers mount; `checker` asks IBM's health checker; `driver` joins all to the kit. docs/drivers/spyre.md
says what is published and what is not.
"""

from fairlead.drivers.spyre.checker import HealthChecker
from fairlead.drivers.spyre.config import SpyreClaimParameters
from fairlead.drivers.spyre.driver import SpyreDriver, make

__all__ = ["HealthChecker", "SpyreClaimParameters", "SpyreDriver", "make"]
