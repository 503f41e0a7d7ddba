"""Models that wrap other models: each member written in its own best way, and joined by a few operators."""
