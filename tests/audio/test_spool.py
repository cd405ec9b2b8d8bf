"""The temporary file for what is needed twice."""

import io
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sordino.audio.order import Channels, MediaFormat, MediaOrder
from sordino.audio.spool import Spool, open_spool, spool_bytes


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(0, 500), max_size=8), channels=st.integers(1, 4), size=st.integers(1, 700))
def test_what_goes_in_comes_out(lengths, channels, size):
    """The samples come back bit by bit, in blocks of the size asked for; only the last may be short."""
    table = np.random.default_rng(size).standard_normal((sum(lengths), channels)).astype(np.float32)
    spool = Spool(io.BytesIO(), channels)
    for block in np.split(table, np.cumsum(lengths)):
        spool.push(block)
    blocks = list(spool.blocks(size))
    assert all(len(block) == size for block in blocks[:-1])
    np.testing.assert_array_equal(np.concatenate([table[:0], *blocks]), table)
    assert spool.share_read == 1.0


def test_the_share_read():
    """The share rises as blocks are read."""
    spool = Spool(io.BytesIO(), 1)
    spool.push(np.zeros((10, 1), np.float32))
    shares = [spool.share_read]
    shares.extend(spool.share_read for _ in spool.blocks(4))
    assert shares == [0.0, 0.4, 0.8, 1.0]


def test_a_file_without_a_name(tmp_path, monkeypatch):
    """The file lies in TMPDIR without a name there, and only if the order needs one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert open_spool(MediaOrder()) is None
    file = open_spool(MediaOrder(loudness=-20.0))
    assert file is not None
    with file:
        assert list(tmp_path.iterdir()) == []
        assert os.fstat(file.fileno()).st_nlink == 0


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (MediaOrder(), 0),
        (MediaOrder(loudness="keep"), 4 * 160_001),
        (MediaOrder(loudness=-20.0, rate=None), 4 * 480_001),
        (MediaOrder(loudness=-20.0, format=MediaFormat.MP3, channels=Channels.KEEP), 2 * 4 * 160_001),
        (MediaOrder(loudness=-20.0, channels=Channels.KEEP), 8 * 4 * 160_001),
    ],
)
def test_its_greatest_size(order, wanted):
    """Ten seconds take four bytes a sample of each channel the format holds, up to eight."""
    assert spool_bytes(order, 10) == wanted
