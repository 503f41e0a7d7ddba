"""What the Lineside programs agree on: bundles, messages, topics, errors.

Needs nothing but msgspec, so that a device, a server and a workstation can all import it.
"""

# Also the distribution's. To ask that for it takes a device ten milliseconds of its start.
__version__ = "0.1.0"
