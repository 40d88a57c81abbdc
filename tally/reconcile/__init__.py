"""Reconciliation: every law that must hold between what was read, counted, kept and billed."""
