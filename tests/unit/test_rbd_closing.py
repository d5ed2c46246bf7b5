"""Images that are closed behind the answer."""

import threading

import pytest

from breezeblock.drivers.rbd.handles import Closing


class Slow:
    """An image whose closing takes until it is told to end."""

    def __init__(self) -> None:
        self.begun, self.may_end, self.closed = threading.Event(), threading.Event(), False

    def close(self) -> None:
        self.begun.set()
        assert self.may_end.wait(10)
        self.closed = True


class Broken:
    """An image that cannot be closed."""

    def close(self) -> None:
        raise OSError("no")


def test_whoever_opens_it_again_waits() -> None:
    """And nobody else."""
    closing, image = Closing(), Slow()
    closing.begin("one", image)
    assert image.begun.wait(10)
    closing.wait("other")
    opened = threading.Event()

    def open_again() -> None:
        closing.wait("one")
        opened.set()

    waiter = threading.Thread(target=open_again)
    waiter.start()
    assert not opened.wait(0.1)
    image.may_end.set()
    waiter.join(10)
    assert opened.is_set()
    assert image.closed
    closing.wait("one")
    closing.end()


def test_the_end_waits_for_all() -> None:
    closing, images = Closing(), [Slow() for _ in range(8)]
    for number, image in enumerate(images):
        closing.begin(str(number), image)
        image.may_end.set()
    closing.end()
    assert all(image.closed for image in images)


def test_what_cannot_be_closed_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What was done with it has been answered; the next one finds the name free."""
    closing = Closing()
    closing.begin("one", Broken())
    closing.wait("one")
    closing.end()
    assert "one could not be closed" in caplog.text
