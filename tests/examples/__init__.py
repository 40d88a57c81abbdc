"""Worked examples of other vendors' documentation and tests, run through the product's own rating.

    python -m tests.examples FILE.json…     passed, failed and not understood, by primitive

`words` translates an example to price definitions; it knows words, never single examples. `running.py` rates them and
compares every number that is expected. What the product cannot say is counted as not understood, by field and value;
what it says otherwise on purpose is listed in `otherwise.py`. `mutants.py` gives examples other numbers and words, and
`oracle.py`, in fractions and by loops, says what they come to.
"""
