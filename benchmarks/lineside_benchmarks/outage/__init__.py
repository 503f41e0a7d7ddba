"""What Lineside, and what a user would pick instead, lose, repeat and delay while things fail."""

from __future__ import annotations

from lineside_benchmarks.table import Table
from lineside_benchmarks.workshop import Workshop


def run(workshop: Workshop) -> Table:
    """Run the outage benchmark."""
    # Its model needs scikit-learn, which whoever only wants a disk that fails need not load.
    from lineside_benchmarks.outage import benchmark

    return benchmark.run(workshop)
