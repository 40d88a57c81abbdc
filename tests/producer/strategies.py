"""Events that the producer takes."""

from hypothesis import strategies as st

from schemas.verdicts import END_OF_TIME, MAX_ID, MAX_QUANTITY, MIN_TIMESTAMP
from tally.producer import UsageEvent
from tests.producer.topics import CATALOGUE

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.integers(-(2**63) - 2, 2**63 + 2),
    st.floats(allow_nan=False, allow_infinity=False),
)
ATTRIBUTES = st.none() | st.dictionaries(st.sampled_from(["a", "b", "", "é\n"]) | TEXTS, SCALARS, max_size=5)
EVENTS = st.builds(
    UsageEvent,
    event_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256),
    org_id=st.integers(0, MAX_ID),
    category=st.sampled_from(CATALOGUE.names),
    quantity=st.integers(0, MAX_QUANTITY),
    timestamp=st.integers(MIN_TIMESTAMP, END_OF_TIME - 1),
    project_id=st.integers(0, MAX_ID),
    attributes=ATTRIBUTES,
)
