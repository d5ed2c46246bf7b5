"""How far an operation is, in words."""

import pytest

from breezeblock.cli.progress import progress_text


@pytest.mark.parametrize(
    ("done", "total", "rate", "left", "text"),
    [
        (0, None, None, None, "not begun"),
        (512, 1024, None, None, "512 bytes of 1.0 KiB"),
        (3 << 30, 8 << 30, 100 << 20, 51.2, "3.0 GiB of 8.0 GiB, 100.0 MiB/s, 51 s left"),
        (0, 5 << 40, 1 << 30, 5120.0, "0 bytes of 5.0 TiB, 1.0 GiB/s, 1 h 25 min left"),
        (0, 9 << 50, 1.0, 90.0, "0 bytes of 9216.0 TiB, 1 bytes/s, 1 min 30 s left"),
    ],
)
def test_in_words(done, total, rate, left, text):
    assert progress_text({"bytes_done": done, "bytes_total": total, "rate": rate, "seconds_left": left}) == text
