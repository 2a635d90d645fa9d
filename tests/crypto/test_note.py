"""Tree heads as text: readable by other programs, one spelling each, and no altered note verifies.

Method: the examples that C2SP publishes, round trips, and every cut and many alterations.
"""

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import CryptoError, ProofError, SignatureError
from crypto.identity import NodeKey, log_id, verify
from crypto.merkle import EMPTY_ROOT, leaf_hash
from crypto.note import (
    COSIGNATURE_V1,
    ED25519,
    NOTE_CHARS_MAX,
    SIGNATURES_MAX,
    Cosignature,
    NoteSignature,
    SignedNote,
    TreeHead,
    cosign,
    key_id,
    key_name,
    log_origin,
    parse_note,
    parse_proof,
    render_note,
    render_proof,
    sign_head,
    verifier_key,
    verify_cosignature,
    verify_head,
)

COMMUNE, PROVINCE, CENTRE = (NodeKey.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
CODE = "40.17083"
HEAD = TreeHead(
    origin=log_origin(CODE, log_id(COMMUNE.peer_id, "up", 0)), size=3, root=leaf_hash(b"root")
)
TIME_S = 1_760_000_000


def signed_note() -> str:
    cosignatures = [
        cosign(PROVINCE, key_name("40"), HEAD, TIME_S),
        cosign(CENTRE, key_name("0"), HEAD, TIME_S + 60),
    ]
    return render_note(
        HEAD, key_name(CODE), COMMUNE.peer_id, sign_head(COMMUNE, HEAD), cosignatures
    )


NOTE = signed_note()
PROOF = render_proof(2, [leaf_hash(b"a"), leaf_hash(b"b")], NOTE)


# Published examples

# C2SP tlog-cosignature: a head with the signature of its log and a cosignature.
C2SP_NOTE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501 - as published


def test_the_published_cosigned_head_is_read_and_written_the_same() -> None:
    note = parse_note(C2SP_NOTE)
    assert note.text() == C2SP_NOTE
    assert (note.head.origin, note.head.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert [signature.name for signature in note.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    assert int.from_bytes(note.signatures[1].signature[:8], "big") == 1_679_315_147


def test_the_signature_of_the_published_head_verifies() -> None:
    # That example bears the signature of the public log of Go modules over the same size and root;
    # with the origin of that log and its well-known key it verifies.
    published = parse_note(C2SP_NOTE)
    head = TreeHead(
        origin="go.sum database tree", size=published.head.size, root=published.head.root
    )
    key = base64.b64decode("zjNy11rR7l7Nr4cnKT1LER2H6zdTHXyG1NMAPw64Cfw=")
    verify_head(key, head, published.signatures[0].signature)
    with pytest.raises(SignatureError):
        verify_head(key, published.head, published.signatures[0].signature)


def test_the_published_verifier_key_is_written_the_same_and_verifies_its_note() -> None:
    # C2SP signed-note, section Example.
    published = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    public_key = base64.b64decode(published.rpartition("+")[2])[1:]
    assert verifier_key("example.com/foo", ED25519, public_key) == published
    line = base64.b64decode(
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72Iney"
        "aQM="
    )
    assert line[:4] == key_id("example.com/foo", ED25519, public_key)
    verify(public_key, b"This is an example message.\n", line[4:])


# Signing


def test_a_note_carries_the_head_and_all_signatures() -> None:
    note = parse_note(NOTE)
    assert note.head == HEAD
    assert note.text() == NOTE
    note.verify_head(key_name(CODE), COMMUNE.peer_id)
    assert note.cosignature(key_name("40"), PROVINCE.peer_id).timestamp_s == TIME_S
    assert note.cosignature(key_name("0"), CENTRE.peer_id).timestamp_s == TIME_S + 60


def test_the_signed_texts_are_those_of_the_specifications() -> None:
    root = base64.b64encode(HEAD.root).decode()
    text = f"tiepdan/{CODE}/{log_id(COMMUNE.peer_id, 'up', 0).hex()}\n3\n{root}\n"
    verify(COMMUNE.peer_id, text.encode(), sign_head(COMMUNE, HEAD))
    cosignature = cosign(PROVINCE, key_name("40"), HEAD, TIME_S)
    message = f"cosignature/v1\ntime {TIME_S}\n{text}".encode()
    verify(PROVINCE.peer_id, message, cosignature.signature)


def test_a_signature_holds_for_one_head_only() -> None:
    signature = sign_head(COMMUNE, HEAD)
    verify_head(COMMUNE.peer_id, HEAD, signature)
    for other in (
        TreeHead(origin=HEAD.origin + "0", size=HEAD.size, root=HEAD.root),
        TreeHead(origin=HEAD.origin, size=HEAD.size + 1, root=HEAD.root),
        TreeHead(origin=HEAD.origin, size=HEAD.size, root=EMPTY_ROOT),
    ):
        with pytest.raises(SignatureError):
            verify_head(COMMUNE.peer_id, other, signature)
    with pytest.raises(SignatureError):
        verify_head(PROVINCE.peer_id, HEAD, signature)


def test_a_cosignature_holds_for_one_node_time_and_head_only() -> None:
    made = cosign(PROVINCE, key_name("40"), HEAD, TIME_S)
    verify_cosignature(made, HEAD)
    other = TreeHead(origin=HEAD.origin, size=4, root=HEAD.root)
    with pytest.raises(SignatureError):
        verify_cosignature(made, other)
    for peer_id, time_s in ((CENTRE.peer_id, TIME_S), (PROVINCE.peer_id, TIME_S + 1)):
        claim = Cosignature(
            peer_id=peer_id, name=made.name, timestamp_s=time_s, signature=made.signature
        )
        with pytest.raises(SignatureError):
            verify_cosignature(claim, HEAD)


@pytest.mark.parametrize("time_s", [-1, 1 << 63])
def test_a_cosignature_outside_of_time_is_refused(time_s: int) -> None:
    with pytest.raises(SignatureError):
        verify_cosignature(cosign(PROVINCE, key_name("40"), HEAD, time_s), HEAD)


def test_a_head_signature_is_never_taken_for_a_cosignature() -> None:
    own = cosign(COMMUNE, key_name(CODE), HEAD, TIME_S)
    with pytest.raises(SignatureError):
        verify_head(COMMUNE.peer_id, HEAD, own.signature)
    with pytest.raises(SignatureError):
        parse_note(NOTE).cosignature(key_name(CODE), COMMUNE.peer_id)
    assert key_id("a", ED25519, bytes(32)) != key_id("a", COSIGNATURE_V1, bytes(32))


# Finding signatures


def test_a_missing_signature_is_told_from_a_wrong_one() -> None:
    note = parse_note(NOTE)
    with pytest.raises(SignatureError) as missing:
        note.verify_head(key_name(CODE), CENTRE.peer_id)
    assert missing.value.code == "signature_missing"
    forged = render_note(HEAD, key_name(CODE), COMMUNE.peer_id, sign_head(CENTRE, HEAD))
    with pytest.raises(SignatureError) as wrong:
        parse_note(forged).verify_head(key_name(CODE), COMMUNE.peer_id)
    assert wrong.value.code == "signature_wrong"


def test_the_newest_of_several_cosignatures_is_returned() -> None:
    times = (TIME_S, TIME_S + 9, TIME_S + 3)
    made = [cosign(PROVINCE, key_name("40"), HEAD, time_s) for time_s in times]
    text = render_note(HEAD, key_name(CODE), COMMUNE.peer_id, sign_head(COMMUNE, HEAD), made)
    found = parse_note(text).cosignature(key_name("40"), PROVINCE.peer_id)
    assert found.timestamp_s == TIME_S + 9


def test_one_wrong_line_of_a_known_key_spoils_the_note() -> None:
    made = cosign(PROVINCE, key_name("40"), HEAD, TIME_S)
    forged = Cosignature(
        peer_id=PROVINCE.peer_id, name=made.name, timestamp_s=TIME_S, signature=bytes(64)
    )
    text = render_note(
        HEAD, key_name(CODE), COMMUNE.peer_id, sign_head(COMMUNE, HEAD), [made, forged]
    )
    with pytest.raises(SignatureError):
        parse_note(text).cosignature(key_name("40"), PROVINCE.peer_id)


def test_a_cosignature_of_the_wrong_length_is_refused() -> None:
    short = NoteSignature(
        name="w", key_id=key_id("w", COSIGNATURE_V1, PROVINCE.peer_id), signature=bytes(71)
    )
    with pytest.raises(SignatureError) as caught:
        SignedNote(HEAD, (short,)).cosignature("w", PROVINCE.peer_id)
    assert caught.value.code == "signature_malformed"


# Parsing


@given(
    size=st.integers(0, 2**63 - 1),
    root=st.binary(min_size=32, max_size=32),
    signatures=st.lists(st.binary(min_size=5, max_size=90), min_size=1, max_size=20),
)
def test_what_is_rendered_is_parsed_to_the_same(
    size: int, root: bytes, signatures: list[bytes]
) -> None:
    note = SignedNote(
        TreeHead(origin="tiepdan/Đà Nẵng", size=size, root=root),
        tuple(NoteSignature(name="xã", key_id=s[:4], signature=s[4:]) for s in signatures),
    )
    assert parse_note(note.text()) == note


def test_every_cut_of_a_note_or_proof_is_refused() -> None:
    # Only a cut behind a whole signature line leaves a note, with fewer signatures.
    allowed = {end for end in range(len(NOTE)) if NOTE[:end].endswith("=\n") and "—" in NOTE[:end]}
    assert len(allowed) == 2
    for end in set(range(len(NOTE))) - allowed:
        with pytest.raises(ProofError):
            parse_note(NOTE[:end])
    start = len(PROOF) - len(NOTE)
    for end in range(start):
        with pytest.raises(ProofError):
            parse_proof(PROOF[:end])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n3\n", "\n03\n"),
        ("\n3\n", "\n+3\n"),
        ("\n3\n", "\n-3\n"),
        ("\n3\n", "\n3 \n"),
        ("\n3\n", "\n٣\n"),
        ("\n3\n", "\n\n"),
        ("\n3\n", "\n9223372036854775808\n"),
        ("\n3\n", "\n" + "9" * 5000 + "\n"),
        ("=\n\n", "=\nextension\n\n"),
        ("=\n\n", "=\n"),
        ("=\n\n", "\n\n"),
        ("=\n\n", "=\n\n\n"),
        (HEAD.origin + "\n", "\n"),
        ("tiepdan/40.17083/", "\ttiepdan/40.17083/"),
        ("tiepdan/40.17083/", "\ud800"),
        ("— ", "- "),
        ("— ", "—"),
        ("— tiepdan/40.17083 ", "— "),
        ("— tiepdan/40.17083 ", "— tiepdan/40+17083 "),
        ("— tiepdan/40.17083 ", "— tiepdan/40\u00a017083 "),
        ("— tiepdan/40.17083 ", "— tiepdan/40.17083 \u00e9"),
        ("— tiepdan/40.17083 ", "— tiepdan/40.17083  "),
        ("\n", "\r\n"),
    ],
)
def test_another_spelling_of_a_note_is_refused(old: str, new: str) -> None:
    assert old in NOTE
    with pytest.raises(ProofError):
        parse_note(NOTE.replace(old, new, 1))


def test_spare_bits_of_base64_are_refused() -> None:
    root = base64.b64encode(HEAD.root).decode()
    last = root[-2]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = root[:-2] + alphabet[alphabet.index(last) ^ 1] + "="
    assert base64.b64decode(twin) == HEAD.root
    with pytest.raises(ProofError):
        parse_note(NOTE.replace(root, twin))


def test_too_many_signatures_are_refused() -> None:
    line = NOTE[NOTE.index("—") :].partition("\n")[0] + "\n"
    head = HEAD.text() + "\n"
    assert len(parse_note(head + line * SIGNATURES_MAX).signatures) == SIGNATURES_MAX
    with pytest.raises(ProofError):
        parse_note(head + line * (SIGNATURES_MAX + 1))
    with pytest.raises(ProofError):
        parse_note("x" * (NOTE_CHARS_MAX + 1))


@given(seed=st.integers(0, 2**32))
def test_an_altered_note_never_verifies(seed: int) -> None:
    rng = random.Random(seed)
    at = rng.randrange(len(NOTE))
    altered = NOTE[:at] + chr(rng.randrange(0x20, 0x7F)) + NOTE[at + 1 :]
    try:
        note = parse_note(altered)
        note.verify_head(key_name(CODE), COMMUNE.peer_id)
        note.cosignature(key_name("40"), PROVINCE.peer_id)
        note.cosignature(key_name("0"), CENTRE.peer_id)
    except CryptoError:
        return
    assert altered == NOTE


@given(text=st.text(max_size=300) | st.text("ab=\n— 0", max_size=60))
def test_arbitrary_text_raises_only_our_error(text: str) -> None:
    with pytest.raises(ProofError):
        parse_note(text)
    with pytest.raises(ProofError):
        parse_proof(text)
    with pytest.raises(ProofError):
        parse_proof("c2sp.org/tlog-proof@v1\n" + text)


# tlog-proof


def test_a_proof_is_read_and_written_the_same() -> None:
    index, hashes, note_text = parse_proof(PROOF)
    assert (index, hashes, note_text) == (2, [leaf_hash(b"a"), leaf_hash(b"b")], NOTE)
    assert render_proof(index, hashes, note_text) == PROOF
    assert PROOF.startswith("c2sp.org/tlog-proof@v1\nindex 2\n")


def test_a_proof_of_the_only_leaf_needs_no_hashes() -> None:
    assert parse_proof(render_proof(0, [], NOTE)) == (0, [], NOTE)


def test_the_extra_line_of_another_program_is_read_over() -> None:
    with_extra = PROOF.replace("\nindex", "\nextra YWdl\nindex", 1)
    assert parse_proof(with_extra) == parse_proof(PROOF)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1\n", "@v2\n"),
        ("index 2", "index 02"),
        ("index 2", "index"),
        ("index 2", "Index 2"),
        ("\nindex 2", ""),
        ("\nindex", "\nextra ***\nindex"),
        ("\nindex", "\nextra YWdl\nextra YWdl\nindex"),
        ("index 2\n", "index 2\n\n"),
        ("index 2\n", "index 2\nYWdl\n"),
        ("index 2\n", "index 2\n" + "A" * 43 + "=\n" * 70),
    ],
)
def test_another_spelling_of_a_proof_is_refused(old: str, new: str) -> None:
    assert old in PROOF
    with pytest.raises(ProofError):
        parse_proof(PROOF.replace(old, new, 1))


def test_a_proof_of_more_hashes_than_a_tree_has_levels_is_refused() -> None:
    with pytest.raises(ProofError):
        parse_proof(render_proof(0, [bytes(32)] * 65, NOTE))
