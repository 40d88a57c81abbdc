"""Metering a range of a log again, into a candidate generation that one row puts in the place of what it replaces."""
