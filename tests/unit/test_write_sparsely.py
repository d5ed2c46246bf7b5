"""What is written of a piece of an image: all of it but zeros, in as few writes as that takes."""

from hypothesis import given
from hypothesis import strategies as st

from breezeblock.images.one_pass import PIECE, write_sparsely

STEP = 4096
RUNS = st.lists(st.tuples(st.sampled_from([1, 100, STEP, 2 * STEP, 5000]), st.sampled_from([0, 7])), min_size=1)


class Disk:
    """Notes what is written."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}
        self.writes: list[tuple[int, int]] = []

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        assert len(data)
        self.bytes.update(enumerate(bytes(data), offset))
        self.writes.append((offset, offset + len(data)))


@given(RUNS, st.data(), st.integers(0, 3))
def test_all_but_steps_of_zeros_is_written_once(runs: list[tuple[int, int]], draw: st.DataObject, offset: int) -> None:
    data = b"".join(bytes([value]) * length for length, value in runs)
    first = draw.draw(st.integers(0, len(data) - 1))
    last = draw.draw(st.integers(first + 1, len(data)))
    disk = Disk()
    write_sparsely(disk, data, offset, first, last)  # type: ignore[arg-type]
    wanted = {
        offset + at - first: data[at]
        for step in range(first, last, STEP)
        if any(data[step : min(step + STEP, last)])
        for at in range(step, min(step + STEP, last))
    }
    assert disk.bytes == wanted
    assert sum(end - begin for begin, end in disk.writes) == len(wanted), "nothing twice"
    assert all(end < begin for (_, end), (begin, _) in zip(disk.writes, disk.writes[1:], strict=False)), "no run in two"


def test_a_piece_of_zeros_is_not_written() -> None:
    disk = Disk()
    write_sparsely(disk, bytes(PIECE), 0, 0, PIECE)  # type: ignore[arg-type]
    assert not disk.writes
