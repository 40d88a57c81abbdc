"""A raw log recounted by another path than it was metered: plain SQL over its records."""
