"""Worked examples of other vendors' documentation and tests, run through the product's own rating.

    python -m tests.examples FILE.json…     passed, failed and not understood, by primitive

`vocabulary.py` translates an example to price definitions; it knows words, never single examples. `running.py` rates
them and compares. What the product cannot say yet is counted as not understood, by name; what it says otherwise on
purpose is listed in `otherwise.py`.
"""
