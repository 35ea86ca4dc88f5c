"""Names of columns and texts of cells can be read back, whatever they contain."""

from hypothesis import given
from hypothesis import strategies as st

from cli.columns import escaped, header_for, resolve, unescaped
from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT

NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(["a.b", "x:json", "/a~1", "#c", " d "])
PLACES = st.sampled_from(
    [
        ("initialTwin", "tags"),
        ("initialTwin", "properties", "desired"),
        ("attestation",),
        (),
    ]
)


@given(st.text())
def test_cells_are_read_back(text: str) -> None:
    """A cell that a spreadsheet would run as a formula is written so that it does not."""
    cell = escaped(text)

    assert unescaped(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


TYPES = st.sampled_from(["", "json", "number", "boolean"])


@given(place=PLACES, names=st.lists(NAMES, min_size=1, max_size=3), cell_type=TYPES)
def test_headers_are_read_back(place: tuple[str, ...], names: list[str], cell_type: str) -> None:
    """The column for a path, known or not, is that path's column when it is read."""
    path = (*place, *names)
    for kind in (INDIVIDUAL_ENROLLMENT, ENROLLMENT_GROUP):
        header = header_for(path, kind, cell_type)

        assert resolve(header, kind)[0] == path
        assert resolve(f" {header} ", kind)[0] == path
        assert not header.startswith("#")
