"""Hardware that is a YAML file, with faults that come by script: to try things, and to test what stands above a driver.

fairlead cluster h100:nodes=1 > hardware.yaml
fairlead node --driver simulated=hardware.yaml,faults=faults.yaml
"""

from fairlead.drivers.simulated.driver import SimulatedConfig, SimulatedDriver
from fairlead.drivers.simulated.faults import Fault, Script
from fairlead.drivers.simulated.hardware import make

__all__ = ["Fault", "Script", "SimulatedConfig", "SimulatedDriver", "make"]
