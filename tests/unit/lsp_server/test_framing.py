import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.framing import Framing, frame

BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@given(bodies=BODIES, data=st.data())
def test_bodies_come_out_whole_however_the_bytes_arrive(bodies, data):
    stream = b"".join(map(frame, bodies))
    framing, out = Framing(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        out += framing.feed(stream[:size])
        stream = stream[size:]
    assert out == bodies
    assert framing.pending == b""


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 2\r\n\r\n",
        b"content-length:2\r\n\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: 2\r\nContent-Type: x\r\n\r\n",
        b"Content-Length: 2\n\n",
    ],
)
def test_headers_are_read_in_any_order_and_spelling(header):
    assert list(Framing().feed(header + b"{}")) == [b"{}"]


def test_a_header_without_a_length_is_skipped():
    assert list(Framing().feed(b"Content-Type: x\r\n\r\nContent-Length: 2\r\n\r\n{}")) == [b"{}"]


def test_a_stream_without_headers_does_not_fill_the_memory():
    framing = Framing()
    for _ in range(100):
        assert list(framing.feed(b"x" * 1000)) == []
    assert len(framing.pending) <= 10_000


def test_what_is_pending_begins_the_next_message():
    whole = frame(b"{}") + frame(b"[1]")
    framing = Framing()
    assert list(framing.feed(whole[:-2])) == [b"{}"]
    assert list(Framing().feed(framing.pending + whole[-2:])) == [b"[1]"]
