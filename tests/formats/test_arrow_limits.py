"""A few bytes that claim very much are refused before they take memory."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.formats import arrow
from schemas.formats.arrow_limits import MAX_ROWS, MAX_UNPACKED, at_most, claims, size_of_rows
from schemas.formats.base import Decoded, Rejected
from schemas.formats.judge import judge
from tests.formats.samples import settings
from tests.formats.test_arrow import COLUMNS, stream


def refused(value: bytes) -> str:
    (one,) = judge(value, settings())
    assert one.raw == value
    assert isinstance(one.outcome, Rejected)
    assert one.outcome.reason == "not_json"
    return one.outcome.detail


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
    st.integers(0, 3),
    st.sampled_from([None, "lz4", "zstd"]),
    st.booleans(),
)
def test_claims_are_what_is_there(texts: list[str], batches: int, compression: str | None, as_dictionary: bool) -> None:
    column = pa.array(texts, pa.string())
    value = stream(
        {"event_id": column.dictionary_encode() if as_dictionary else column}, batches, compression=compression
    )
    found = claims(value)
    assert found.rows == len(texts) * batches
    content = sum(len(text.encode()) for text in (set(texts) if as_dictionary else texts))
    assert found.size >= content * (min(batches, 1) if as_dictionary else batches)
    assert found.size <= 100_000 + 10 * content * max(1, batches)


def test_rows_that_need_no_bytes_are_limited() -> None:
    nulls = pa.nulls(MAX_ROWS + 1)
    value = stream({"event_id": nulls})
    assert len(value) < 1000
    assert str(MAX_ROWS + 1) in refused(value)
    assert "rows" in refused(stream({"event_id": nulls[: MAX_ROWS // 2 + 1]}, batches=2))
    assert "rows" in refused(stream({"other": nulls}))


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_what_would_unpack_to_too_much_is_not_unpacked(compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    long = {**COLUMNS, "source": pa.array(["x" * 1_000_000])}
    value = stream(long, compression=compression)
    assert len(value) < 10_000
    assert isinstance(judge(value, settings())[0].outcome, Decoded)
    monkeypatch.setattr(arrow, "MAX_UNPACKED", 1_000_000)
    assert "1 rows in 10" in refused(value)


def test_a_buffer_that_lies_about_its_length_is_refused() -> None:
    value = stream({"event_id": pa.array(["x" * 10_000])}, compression="lz4")
    at = value.rfind((10_000).to_bytes(8, "little"))
    lie = value[:at] + (2**40).to_bytes(8, "little") + value[at + 8 :]
    assert claims(lie).size > MAX_UNPACKED
    assert str(2**40)[:5] in refused(lie)


@pytest.mark.parametrize("shape", ["dictionary", "views", "struct"])
def test_rows_that_share_their_data_are_counted_each(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "MAX_UNPACKED", 1_000_000)
    columns = {name: pa.concat_arrays([column] * 1000) for name, column in COLUMNS.items()}
    entries = pa.array(["x" * 10_000])
    column: pa.Array = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), entries)
    if shape == "struct":
        column = pa.StructArray.from_arrays([column], ["a"])
    if shape == "views":
        validity, view, text = entries.cast(pa.string_view()).buffers()
        column = pa.Array.from_buffers(
            pa.string_view(), 1000, [validity, pa.py_buffer(view.to_pybytes()[:16] * 1000), text]
        )
    value = stream({**columns, "attributes" if shape == "struct" else "source": column})
    assert len(value) < 200_000
    assert "1000 rows in 10" in refused(value)


texts = st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))))


@given(texts, st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]), st.integers(0, 3), st.booleans())
def test_the_size_of_rows_is_their_cells_and_texts(
    cells: list[str | None], kind: pa.DataType, skipped: int, as_dictionary: bool
) -> None:
    column = pa.array(cells, kind)
    if as_dictionary and kind != pa.string_view():
        column = column.dictionary_encode()
    kept = cells[skipped:]
    expected = 16 * len(kept) + sum(len((text or "").encode()) for text in kept)
    assert size_of_rows(column.slice(skipped)) == expected
    assert at_most(column.slice(skipped)) >= expected
