"""Documents write changes that merge, keep what was edited apart, and survive a panicking binding.

Method: two writers edit from the same base through the real binding; the merged document must hold
what both meant. Then the binding is given what makes it panic.
"""

import random
import string
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.ids import DocumentId
from sync.change import Action, parse_change
from sync.document import Documents, Edit
from sync.errors import ChangeError
from tests.sync.builders import CASE, DOCUMENT, Pen
from tests.sync.chunks import Op, chunk

LAN, HOA = b"l" * 16, b"h" * 16
STORY = (
    "Ông Vi Văn Khăm đến trụ sở. Ông trình bày về thửa đất rẫy. Xã đã thu hồi năm 2019.\n"
    "Ông chưa nhận tiền bồi thường. Ông đề nghị trả lời bằng văn bản."
)


def opened(text: str = STORY) -> tuple[Pen, tuple[bytes, ...]]:
    pen = Pen()
    pen.write(LAN, Edit(kind="case", fields={"title": "một"}, texts={"summary": text}))
    return pen, pen.heads()


def test_two_who_edit_other_fields_both_keep_their_words() -> None:
    pen, base = opened()
    pen.write(LAN, Edit(fields={"title": "hai"}, base=base))
    change = pen.write(HOA, Edit(fields={"location": "Mỹ Lý"}, base=base))
    assert change.deps == base
    assert len(pen.heads()) == 2


def test_an_edit_without_a_base_builds_on_everything() -> None:
    pen, base = opened()
    pen.write(LAN, Edit(fields={"title": "hai"}, base=base))
    pen.write(HOA, Edit(fields={"title": "ba"}, base=base))
    heads = pen.heads()
    change = pen.write(HOA, Edit(fields={"title": "bốn"}))
    assert change.deps == heads
    assert len(change.map_ops[0].replaces) == 2
    assert pen.heads() == (change.hash,)


def test_the_present_heads_are_a_base_like_none() -> None:
    pen, base = opened()
    edit = Edit(fields={"title": "hai"}, base=tuple(reversed(base)))
    assert pen.documents.write(DOCUMENT, HOA, edit) == pen.documents.write(
        DOCUMENT, HOA, Edit(fields={"title": "hai"})
    )


def test_a_writer_with_an_old_base_continues_from_its_own_last_change() -> None:
    pen, base = opened()
    own = pen.write(HOA, Edit(fields={"title": "hai"}, base=base))
    pen.write(LAN, Edit(fields={"title": "ba"}, base=base))
    again = pen.write(HOA, Edit(fields={"title": "bốn"}, base=base))
    assert (again.seq, again.deps) == (2, (own.hash,))
    assert again.map_ops[0].replaces == (own.map_ops[0].id,)


def test_a_base_that_is_not_here_is_refused() -> None:
    pen, _ = opened()
    with pytest.raises(ChangeError) as caught:
        pen.write(HOA, Edit(fields={"title": "hai"}, base=(bytes(32),)))
    assert caught.value.code == "base_unknown"
    pen.write(HOA, Edit(fields={"title": "hai"}))


def test_sentences_that_two_wrote_apart_both_stand() -> None:
    pen, base = opened()
    pen.write(LAN, Edit(texts={"summary": STORY.replace("2019", "2020")}, base=base))
    pen.write(HOA, Edit(texts={"summary": STORY.replace("bằng văn bản", "tại nhà")}, base=base))
    assert pen.text() == STORY.replace("2019", "2020").replace("bằng văn bản", "tại nhà")


def test_words_of_one_sentence_that_two_changed_apart_both_stand() -> None:
    pen, base = opened("Thửa đất rẫy của ông Khăm rộng hai sào.")
    pen.write(LAN, Edit(texts={"summary": "Thửa đất ruộng của ông Khăm rộng hai sào."}, base=base))
    pen.write(HOA, Edit(texts={"summary": "Thửa đất rẫy của ông Khăm rộng ba sào."}, base=base))
    assert pen.text() == "Thửa đất ruộng của ông Khăm rộng ba sào."


def test_a_paragraph_in_front_and_one_at_the_end_both_stand() -> None:
    pen, base = opened()
    pen.write(LAN, Edit(texts={"summary": "Ngày 1. " + STORY}, base=base))
    pen.write(HOA, Edit(texts={"summary": STORY + " Hết."}, base=base))
    assert pen.text() == "Ngày 1. " + STORY + " Hết."


WORDS = st.lists(
    st.sampled_from(["đất", "rẫy", "ông", " ", " ", ". ", "\n", "?!", "2019", "😀", "e\u0301", ""]),
    max_size=40,
).map("".join)


@settings(max_examples=250, deadline=None)
@given(WORDS, WORDS)
def test_whatever_was_written_reads_as_written(old: str, new: str) -> None:
    pen, _ = opened(old)
    if new != old:
        pen.write(HOA, Edit(texts={"summary": new}))
    assert pen.text() == new


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_letters_can_be_written(old: str, new: str) -> None:
    pen, _ = opened(old)
    if new != old:
        pen.write(HOA, Edit(fields={"title": new}, texts={"summary": new}))
    assert pen.text() == new


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS, WORDS, st.booleans())
def test_the_order_in_which_changes_come_does_not_count(
    old: str, one: str, two: str, turned: bool
) -> None:
    pen, base = opened(old)
    made = [
        raw
        for actor, new in ((LAN, one), (HOA, two))
        if (raw := pen.documents.write(DOCUMENT, actor, Edit(texts={"summary": new}, base=base)))
    ]
    texts = set()
    for order in (made, made[::-1]):
        documents = Documents(lambda _: [])
        for raw in [pen.changes[0].raw, *order]:
            documents.apply(DOCUMENT, raw, parse_change(raw).hash, new=raw == pen.changes[0].raw)
        texts.add(documents.text(DOCUMENT, "summary"))
    assert len(texts) == 1


def test_a_long_text_that_changed_everywhere_is_written_at_once() -> None:
    rng = random.Random(5)
    words = ["".join(rng.choices(string.ascii_lowercase, k=4)) for _ in range(4_000)]
    pen, _ = opened(" ".join(words))
    rng.shuffle(words)
    change = pen.write(HOA, Edit(texts={"summary": " ".join(words)}))
    assert pen.text() == " ".join(words)
    assert change.last_op - change.start_op < 100_000


def test_an_edit_that_changes_nothing_makes_no_change() -> None:
    pen, base = opened()
    same = Edit(fields={"title": "một", "gone": None}, texts={"summary": STORY}, base=base)
    assert pen.documents.write(DOCUMENT, HOA, same) is None


def test_writing_does_not_apply() -> None:
    pen, base = opened()
    assert pen.documents.write(DOCUMENT, HOA, Edit(fields={"title": "hai"})) is not None
    assert pen.heads() == base


def test_a_document_without_a_start_cannot_be_edited() -> None:
    documents = Documents(lambda _: [])
    with pytest.raises(ChangeError) as caught:
        documents.write(DOCUMENT, LAN, Edit(fields={"title": "x"}))
    assert caught.value.code == "document_malformed"
    assert documents.text(DOCUMENT, "summary") == ""


def test_a_number_too_large_for_the_format_is_refused() -> None:
    pen, _ = opened()
    with pytest.raises(ChangeError) as caught:
        pen.write(HOA, Edit(fields={"n": 1 << 70}))
    assert caught.value.code == "automerge_refused"


# Opening


def test_a_closed_document_is_opened_from_its_changes() -> None:
    pen, base = opened()
    pen.write(HOA, Edit(fields={"title": "hai"}))
    asked: list[DocumentId] = []

    def load(document: DocumentId) -> list[bytes]:
        asked.append(document)
        return [change.raw for change in reversed(pen.changes)]

    documents = Documents(load)
    assert documents.heads(DOCUMENT) == pen.heads() != base
    assert documents.text(DOCUMENT, "summary") == STORY
    assert documents.changes(DOCUMENT) == [change.raw for change in pen.changes]
    assert asked == [DOCUMENT]
    documents.forget_all()
    documents.heads(DOCUMENT)
    assert asked == [DOCUMENT, DOCUMENT]


def test_only_so_many_documents_stay_open() -> None:
    asked: list[DocumentId] = []

    def load(document: DocumentId) -> list[bytes]:
        asked.append(document)
        return []

    documents = Documents(load)
    ids = [DocumentId(number.to_bytes(16, "big")) for number in range(2_001)]
    for document in ids:
        documents.heads(document)
    documents.heads(ids[-1])
    assert len(asked) == 2_001
    documents.heads(ids[0])
    assert asked[-1] == ids[0]


# What the binding refuses


def test_a_change_whose_past_is_not_here_is_refused_and_does_not_wait_inside() -> None:
    pen, _ = opened()
    second = pen.write(HOA, Edit(fields={"title": "hai"}))
    documents = Documents(lambda _: [])
    with pytest.raises(ChangeError) as caught:
        documents.apply(DOCUMENT, second.raw, second.hash, new=True)
    assert caught.value.code == "change_not_applied"
    first = pen.changes[0]
    documents.apply(DOCUMENT, first.raw, first.hash, new=True)
    assert documents.heads(DOCUMENT) == (first.hash,)


@pytest.mark.parametrize("seq", [1, 3])
def test_a_gap_or_a_twin_in_an_actors_numbers_is_refused(seq: int) -> None:
    pen, base = opened()
    at = pen.changes[0].last_op + 1
    forged = chunk(
        [Op(key="title", target=(2, LAN), value="x")], actor=LAN, seq=seq, start_op=at, deps=base
    )
    documents = Documents(lambda _: [change.raw for change in pen.changes])
    with pytest.raises(ChangeError):
        documents.apply(DOCUMENT, forged, parse_change(forged).hash, new=False)
    assert documents.heads(DOCUMENT) == base
    assert documents.text(DOCUMENT, "summary") == STORY


def test_a_panic_of_the_binding_is_a_refusal_and_the_document_lives_on() -> None:
    pen, base = opened()
    counter = chunk(
        [Op(key="n", target=(2, LAN), value=1, kind=8)],
        actor=HOA,
        start_op=pen.changes[0].last_op + 1,
        deps=base,
    )
    documents = Documents(lambda _: [change.raw for change in pen.changes])
    # Nobody but this test applies a counter: writing over one panics.
    documents.apply(DOCUMENT, counter, sha256(counter[8:]).digest(), new=False)
    with pytest.raises(ChangeError) as caught:
        documents.write(DOCUMENT, LAN, Edit(fields={"n": None}))
    assert caught.value.code == "automerge_refused"
    assert documents.heads(DOCUMENT) == base
    assert documents.text(DOCUMENT, "summary") == STORY
    assert documents.write(DOCUMENT, LAN, Edit(fields={"title": "hai"})) is not None


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x85\x6f\x4a\x83", bytes(200)])
def test_what_is_no_change_is_refused(raw: bytes) -> None:
    pen, base = opened()
    with pytest.raises(ChangeError):
        pen.documents.apply(DOCUMENT, raw, bytes(32), new=False)
    documents = Documents(lambda _: [change.raw for change in pen.changes])
    assert documents.heads(DOCUMENT) == base


def test_an_error_that_is_not_the_bindings_passes_through() -> None:
    def broken(_: DocumentId) -> list[bytes]:
        raise OSError("the disk fails")

    with pytest.raises(OSError, match="disk"):
        Documents(broken).heads(DOCUMENT)


def test_a_first_change_cannot_be_written_twice_under_one_actor() -> None:
    pen = Pen()
    first = pen.write(LAN, CASE)
    with pytest.raises(ChangeError):
        pen.documents.apply(
            DOCUMENT,
            chunk([Op(key="kind", action=Action.DELETE)], actor=LAN, start_op=9),
            first.hash[::-1],
            new=False,
        )
