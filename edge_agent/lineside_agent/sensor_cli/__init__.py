"""`lineside sensor`: which kinds of sensor there are, and what one gives."""
