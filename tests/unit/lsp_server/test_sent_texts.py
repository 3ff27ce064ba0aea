from hypothesis import given
from hypothesis import strategies as st

from lsp_server.sent_texts import TextReceiver, TextSender

TEXTS = st.lists(st.text("ab\nä𝔘\ud800", max_size=12), min_size=1, max_size=8)


@given(TEXTS, st.sets(st.integers(0, 7)), st.sets(st.integers(0, 7)))
def test_every_text_arrives_also_when_messages_are_lost_or_the_receiver_starts_anew(texts, lost, restarts):
    sender, receiver = TextSender(), TextReceiver()
    for number, text in enumerate(texts):
        if number in restarts:
            receiver = TextReceiver()
        packed = sender.pack(text)
        if number in lost:
            continue
        received = receiver.unpack(packed)
        if received is None:
            sender.forget()
            received = receiver.unpack(sender.pack(text))
        assert received == text


def test_one_letter_in_a_long_text_is_a_short_message():
    sender = TextSender()
    sender.pack("def f():\n    return 1\n" * 10_000)
    packed = sender.pack("def f():\n    return 1\n" * 5_000 + "x" + "def f():\n    return 1\n" * 5_000)
    assert len(str(packed)) < 200
