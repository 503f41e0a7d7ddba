"""What the Lineside programs agree on: bundles, messages, topics, errors.

Needs nothing but msgspec, so that a device, a server and a workstation can all import it.
"""
