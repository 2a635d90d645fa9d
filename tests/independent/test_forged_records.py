"""What a dishonest node could sign is refused by the product and by somebody else's program alike.

Method: forger.py writes logs, heads and certificates of its own and signs them with the real keys
of nodes, so that every signature and proof holds and only the rules of docs/PROTOCOL.md are left to
break. Each forgery is named after what it claims; both must refuse it. What only looks odd, both
must accept, so that the two do not agree by refusing everything.
"""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import automerge.core as am
import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from crypto.identity import NodeKey
from tests.independent import forger
from tests.independent.change_reader import MAGIC, Reader, uleb_bytes
from tests.independent.forger import Draft, Signer, certificates, change, lay_out, record, writer
from tests.independent.world import World, opinions

BOTH_HOLD, BOTH_REFUSE = ("holds", "holds"), ("refused", "refused")
OTHER_DEVICE = b"E" * 16
OFFICE_KEY = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.1")
STR = am.ScalarType.Str


class Scene:
    """The parts of an honest small log of the commune; each forgery replaces some."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.commune, self.other = world.commune.signer, world.other.signer
        self.province, self.centre = world.province.signer, world.centre.signer
        self.certificate = certificates(self.commune.chain)
        self.actor = forger.actor(self.commune)
        self.second = forger.actor(self.commune, OTHER_DEVICE)
        self.writer = writer(self.commune)
        self.second_writer = writer(self.commune, 2, device=OTHER_DEVICE)
        self.chunk = Draft(self.actor).first

    @property
    def honest(self) -> list[bytes]:
        return [self.certificate, self.writer, change(self.chunk)]

    def file(self, leaves: list[bytes] | None = None, **log: Any) -> bytes:
        """Return a file of one log of the commune."""
        cosigners = log.get("cosigners", ())
        one = forger.log(log.pop("owner", self.commune), leaves or self.honest, **log)
        return lay_out(record(self.world.root_der, [one], cosigners))

    def start(self, more: forger.Edit = forger.nothing, kind: Any = "case") -> bytes:
        chunk = Draft(self.actor, kind, more).first
        return self.file([self.certificate, self.writer, change(chunk)])

    def edit(self, edit: forger.Edit, more: forger.Edit = forger.nothing) -> bytes:
        """Return a file where the second device edits what the first began."""
        draft = Draft(self.actor, more=more)
        second = change(draft.edit(self.second, edit), 2)
        first = [self.certificate, self.writer, self.second_writer, change(draft.first)]
        return self.file([*first, second])

    def down(self, *leaves: bytes, **log: Any) -> bytes:
        log.setdefault("purpose", "down/" + self.commune.peer_id.hex())
        first = certificates(self.province.chain)
        return self.file([first, *leaves], owner=self.province, **log)


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    return Scene(world)


def put(place: str, key: str, value: Any, kind: am.ScalarType = STR) -> forger.Edit:
    return lambda transaction, objects: transaction.put(objects[place], key, kind, value)


def delete(place: str, key: str) -> forger.Edit:
    return lambda transaction, objects: transaction.delete(objects[place], key)


def make(place: str, key: str, kind: am.ObjType) -> forger.Edit:
    return lambda transaction, objects: transaction.put_object(objects[place], key, kind)


def on_root(key: str, value: str) -> forger.Edit:
    return lambda transaction, _: transaction.put(am.ROOT, key, STR, value)


def event(device: bytes = forger.DEVICE, ahead: int = 0) -> forger.Edit:
    return put("events", forger.event_id(device, forger.HLC + ahead), '{"type":"registered"}')


def two_starts(scene: Scene) -> bytes:
    starts = change(scene.chunk), change(Draft(scene.second).first, 2)
    return scene.file([scene.certificate, scene.writer, scene.second_writer, *starts])


def chain_of_edits(scene: Scene) -> list[bytes]:
    """Return the certificate, two writers, and three changes, each after the one before."""
    draft = Draft(scene.actor)
    edits = [change(draft.edit(scene.second, put("fields", "title", str(n))), 2) for n in (1, 2)]
    first = [scene.certificate, scene.writer, scene.second_writer, change(draft.first)]
    return [*first, *edits]


def with_checksum(kind: int, body: bytes, inflated: bytes | None = None) -> bytes:
    whole = inflated if inflated is not None else body
    digest = sha256(b"\x01" + uleb_bytes(len(whole)) + whole).digest()
    return MAGIC + digest[:4] + bytes([kind]) + uleb_bytes(len(body)) + body


def body_of(chunk: bytes) -> bytes:
    reader = Reader(chunk)
    reader.take(9)
    return reader.prefixed()


def compressed(chunk: bytes) -> bytes:
    deflater = zlib.compressobj(9, wbits=-15)
    body = body_of(chunk)
    return with_checksum(2, deflater.compress(body) + deflater.flush(), body)


def as_counter(scene: Scene) -> bytes:
    """Turn a number of ten bytes (value column: 10 << 4 | type) into a counter."""
    body = body_of(Draft(scene.actor, more=put("fields", "x", 1 << 62, am.ScalarType.Int)).first)
    assert body.count(b"\xa4\x01") == 1
    return with_checksum(1, body.replace(b"\xa4\x01", b"\xa8\x01"))


def undeterministic(data: bytes) -> bytes:
    """Write the length of a CBOR array (below 24) in one byte more than it needs."""
    return bytes([0x98, data[0] & 0x1F]) + data[1:]


def with_body(scene: Scene, kind: int, body: bytes) -> bytes:
    leaves = scene.honest
    number = 1 if kind == forger.WRITER else 0
    leaves[0 if number == 0 else 1] = forger.leaf(kind, number, b"", forger.HLC, body)
    return scene.file(leaves)


def impostor(scene: Scene) -> bytes:
    chunk = Draft(forger.actor(scene.province)).first
    return scene.file([scene.certificate, writer(scene.province), change(chunk)])


def certificate(
    scene: Scene, issuer: Signer, sign: NodeKey, *, code: str = "40.17083", **said: Any
) -> bytes:
    """Return a commune's certificate for the key of the commune, issued by whoever it names."""
    tier = said.get("tier", "commune")
    names = [
        (NameOID.ORGANIZATION_NAME, said.get("name", scene.commune.name)),
        (NameOID.COMMON_NAME, said.get("common", f"tiepdan {tier} {code}")),
        (NameOID.SERIAL_NUMBER, code),
        *said.get("more_names", ()),
    ]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    attributes = [x509.NameAttribute(*each) for each in names]
    alone = [x509.RelativeDistinguishedName([each]) for each in attributes]
    together = [x509.RelativeDistinguishedName(attributes)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(together if said.get("is_one_set") else alone))
        .issuer_name(x509.load_der_x509_certificate(issuer.chain[0]).subject)
        .public_key(said.get("key", scene.world.commune.key).private_key.public_key())
        .serial_number(17)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365))
        .add_extension(x509.BasicConstraints(True, said.get("path_length", 0)), critical=True)
        .add_extension(said.get("usage", key_usage()), critical=True)
    )
    uris = said.get("uris", [f"tiepdan:{tier}:{code}"])
    alternative = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(u) for u in uris])
    builder = builder.add_extension(alternative, critical=said.get("is_critical", False))
    office = x509.UnrecognizedExtension(OFFICE_KEY, said.get("office", b"\x04\x20" + b"o" * 32))
    builder = builder.add_extension(office, critical=False)
    for extension in said.get("critical", ()):
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(sign.private_key, None).public_bytes(Encoding.DER)


def key_usage(*, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, encipher, False, False, True, True, False, False)


def by_province(scene: Scene, **said: Any) -> bytes:
    der = certificate(scene, scene.province, scene.world.province.key, **said)
    leaves = [certificates([der, *scene.province.chain]), *scene.honest[1:]]
    return scene.file(leaves)


def by_another_province(scene: Scene, province: str = "41", commune: str = "40.17083") -> bytes:
    key = NodeKey.from_seed(b"q" * 32)
    root = Signer(**vars(scene.province) | {"chain": [scene.world.root_der]})
    said: dict[str, Any] = {"tier": "province", "code": province, "path_length": 1, "key": key}
    above = certificate(scene, root, scene.world.root_key, **said)
    issuer = Signer(**vars(scene.province) | {"chain": [above]})
    der = certificate(scene, issuer, key, code=commune)
    signer = Signer(**vars(scene.commune) | {"code": commune, "chain": [der, above]})
    leaves = [certificates(signer.chain), writer(signer), change(scene.chunk)]
    return scene.file(leaves, owner=signer)


def signed_by_somebody_else(scene: Scene) -> bytes:
    der = certificate(scene, scene.province, NodeKey.from_seed(b"q" * 32))
    return scene.file([certificates([der, *scene.province.chain]), *scene.honest[1:]])


def rewrap(scene: Scene, rewrite: Callable[[bytes], bytes]) -> bytes:
    """Change a certificate outside its signed part."""
    first, *above = scene.commune.chain
    return scene.file([certificates([rewrite(first), *above]), *scene.honest[1:]])


def other_leaves(scene: Scene, *leaves: bytes, at: int = 2) -> bytes:
    """Return a file with further leaves in its log, before the leaf at that place."""
    return scene.file([*scene.honest[:at], *leaves, *scene.honest[at:]])


def at_seq(scene: Scene, at: int, data: bytes) -> bytes:
    leaves = scene.honest
    leaves[at] = data
    return scene.file(leaves)


def note_with(change_head: Callable[[str], str]) -> Callable[[Scene], bytes]:
    return lambda scene: scene.file(change_head=change_head)


FORGED: dict[str, Callable[[Scene], bytes]] = {
    # leaves that do not belong
    "a leaf of an unknown type": lambda s: other_leaves(s, forger.leaf(9, 0, b"", 0, b"x")),
    "a change of another document": lambda s: other_leaves(
        s, change(s.chunk, document=b"x" * 16), at=3
    ),
    "a leaf over 1 MiB": lambda s: s.start(put("fields", "title", "x" * (1 << 20))),
    "a leaf of six items": lambda s: at_seq(s, 2, cbor2.dumps([0, 1, forger.DOCUMENT, 0, b"", 0])),
    "a leaf not in its one form": lambda s: at_seq(s, 2, undeterministic(change(s.chunk))),
    "a leaf after the end of clocks": lambda s: at_seq(s, 2, change(s.chunk, hlc=1 << 63)),
    "an empty change": lambda s: at_seq(s, 2, change(b"")),
    # writers
    "a writer of another node": impostor,
    "a writer of another tier": lambda s: at_seq(s, 1, writer(s.commune, tier="province")),
    "a writer of another code": lambda s: at_seq(s, 1, writer(s.commune, code="40.17084")),
    "a writer with a long name": lambda s: at_seq(s, 1, writer(s.commune, name="x" * 201)),
    "a writer of nine items": lambda s: with_body(
        s, forger.WRITER, cbor2.dumps([*forger.writer_body(s.commune), "more"])
    ),
    "a writer not in its one form": lambda s: with_body(
        s, forger.WRITER, undeterministic(cbor2.dumps(forger.writer_body(s.commune)))
    ),
    "a writer number that is declared twice": lambda s: other_leaves(
        s, writer(s.commune, device=OTHER_DEVICE)
    ),
    "a change before its writer": lambda s: s.file([s.certificate, change(s.chunk), s.writer]),
    "a writer that is declared twice alike": lambda s: other_leaves(s, s.writer),
    "a writer that no change uses": lambda s: other_leaves(s, s.second_writer),
    "a writer of the number 0": lambda s: s.file(
        [s.certificate, writer(s.commune, 0), change(s.chunk, 0)]
    ),
    "a document in a writer leaf": lambda s: at_seq(s, 1, writer(s.commune, document=b"x" * 16)),
    "a change of nobody": lambda s: s.file([s.certificate, change(s.chunk)]),
    "a change of another device": lambda s: at_seq(s, 2, change(Draft(s.second).first)),
    "a change of another epoch": lambda s: at_seq(s, 1, writer(s.commune, epoch=1)),
    # logs
    "a further certificate leaf": lambda s: other_leaves(s, certificates(s.province.chain)),
    "a document in a certificate leaf": lambda s: at_seq(
        s, 0, certificates(s.commune.chain, document=b"x" * 16)
    ),
    "a writer in a certificate leaf": lambda s: at_seq(s, 0, certificates(s.commune.chain, 1)),
    "a log of an unknown purpose": lambda s: s.file(purpose="sideways"),
    "a reader in capitals": lambda s: s.down(s.writer, change(s.chunk), purpose="down/" + "A" * 64),
    "a chain in the wrong order": lambda s: at_seq(s, 0, certificates(s.commune.chain[::-1])),
    "a chain with the root": lambda s: at_seq(
        s, 0, certificates([*s.commune.chain, s.world.root_der])
    ),
    "a chain that is not whole": lambda s: at_seq(s, 0, certificates(s.commune.chain[:1])),
    "a chain not in its one form": lambda s: with_body(
        s, forger.CERTIFICATES, undeterministic(cbor2.dumps(s.commune.chain))
    ),
    "the same log twice": lambda s: lay_out(
        record(s.world.root_der, [forger.log(s.commune, s.honest)] * 2)
    ),
    # heads
    "a head of another node": note_with(lambda head: head.replace("40.17083", "40.17084", 1)),
    "a size with a zero": note_with(lambda head: forger.with_size(head, "03")),
    "a size with a sign": note_with(lambda head: forger.with_size(head, "+3")),
    "a size in other digits": note_with(lambda head: forger.with_size(head, "٣")),
    "a fourth line": note_with(lambda head: head + "more\n"),
    "a chain of a node that cosigned nothing": lambda s: lay_out(
        record(s.world.root_der, [forger.log(s.commune, s.honest)], [s.province])
    ),
    "a cosignature twice": lambda s: s.file(cosigners=[s.province, s.province]),
    # changes
    "two starts": two_starts,
    "a change in the middle left out": lambda s: s.file(chain_of_edits(s), shown=[0, 1, 2, 3, 5]),
    "the start left out": lambda s: s.file(chain_of_edits(s), shown=[0, 2, 4, 5]),
    "a wrong checksum": lambda s: at_seq(s, 2, change(s.chunk[:4] + bytes(4) + s.chunk[8:])),
    "two chunks in one": lambda s: at_seq(s, 2, change(s.chunk * 2)),
    "a chunk of a whole document": lambda s: at_seq(s, 2, change(Draft(s.actor).document.save())),
    "a change that inflates too far": lambda s: at_seq(
        s, 2, change(compressed(Draft(s.actor, more=put("fields", "x", "y" * (9 << 20))).first))
    ),
    "a kind that is no text": lambda s: s.start(kind=3),
    "a root with more": lambda s: s.start(on_root("more", "x")),
    "the root changed": lambda s: s.edit(on_root("kind", "visit")),
    "a map in fields": lambda s: s.edit(make("fields", "more", am.ObjType.Map)),
    "a map in texts": lambda s: s.start(make("texts", "more", am.ObjType.Map)),
    "a map in events": lambda s: s.start(make("events", "more", am.ObjType.Map)),
    "a text in fields": lambda s: s.start(make("fields", "more", am.ObjType.Text)),
    "a text made later": lambda s: s.edit(make("texts", "more", am.ObjType.Text)),
    "a text removed": lambda s: s.edit(delete("texts", "summary")),
    "a truth value": lambda s: s.start(put("fields", "x", True, am.ScalarType.Boolean)),
    "a counter": lambda s: at_seq(s, 2, change(as_counter(s))),
    "a fraction": lambda s: s.edit(put("fields", "title", 1.5, am.ScalarType.F64)),
    "a field set to nothing": lambda s: s.edit(put("fields", "title", None, am.ScalarType.Null)),
    "bytes": lambda s: s.edit(put("fields", "title", b"x", am.ScalarType.Bytes)),
    # events
    "an event of another device": lambda s: s.start(event(OTHER_DEVICE)),
    "an event of another time": lambda s: s.start(event(ahead=256)),
    "an event before its leaf": lambda s: s.start(event(ahead=-1)),
    "an event under another key": lambda s: s.start(put("events", "first", "{}")),
    "an event that is no text": lambda s: s.start(
        put("events", forger.event_id(), 3, am.ScalarType.Int)
    ),
    "an event changed": lambda s: s.edit(put("events", forger.event_id(), "{}"), event()),
    "an event removed": lambda s: s.edit(delete("events", forger.event_id()), event()),
    # certificates
    "a commune's certificate from another province": by_another_province,
    "a province of the code 0": lambda s: by_another_province(s, "0", "0.17083"),
    "a subject in one set": lambda s: by_province(s, is_one_set=True),
    "a name that shows nothing": lambda s: by_province(s, name="My\u200b Ly"),
    "a name of 65 letters": lambda s: by_province(s, name="x" * 65),
    "a certificate that somebody else signed": signed_by_somebody_else,
    "a code outside the issuer's": lambda s: by_province(s, code="41.17083"),
    "a code of six digits": lambda s: by_province(s, code="40.170833"),
    "a code of three parts": lambda s: by_province(s, code="40.170.83"),
    "a province under a province": lambda s: by_province(s, code="40", tier="province"),
    "two alternative names": lambda s: by_province(s, uris=["tiepdan:commune:40.17083"] * 2),
    "an alternative name of another": lambda s: by_province(s, uris=["tiepdan:commune:40.1"]),
    "a common name of another": lambda s: by_province(s, common="tiepdan commune 40.1"),
    "a subject with more": lambda s: by_province(s, more_names=[(NameOID.LOCALITY_NAME, "x")]),
    "an office key of 31 bytes": lambda s: by_province(s, office=b"\x04\x1f" + b"o" * 31),
    "a longer path": lambda s: by_province(s, path_length=1),
    "a further key usage": lambda s: by_province(s, usage=key_usage(encipher=True)),
    "an unknown critical extension": lambda s: by_province(
        s, critical=[x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")]
    ),
    "a byte after a certificate": lambda s: rewrap(s, lambda der: der + b"\0"),
    "unused bits in a signature": lambda s: rewrap(s, lambda der: der[:-65] + b"\1" + der[-64:]),
    "a longer length of a certificate": lambda s: rewrap(s, lambda der: b"\x30\x83\x00" + der[2:]),
}

ODD: dict[str, Callable[[Scene], bytes]] = {
    "an honest log": lambda s: s.file(),
    "an honest log that two cosigned": lambda s: s.file(cosigners=[s.province, s.centre]),
    "a cosignature of another commune": lambda s: s.file(cosigners=[s.other]),
    "a log of a commune for an outpost": lambda s: s.file(purpose="down/" + "a" * 64),
    "a log for a reader": lambda s: s.down(s.writer, change(s.chunk)),
    "an own certificate": lambda s: by_province(s),
    "a critical alternative name": lambda s: by_province(s, is_critical=True),
    "a province of the code 00": lambda s: by_another_province(s, "00", "00.17083"),
    "other leaves that are not shown": lambda s: s.file(
        [*s.honest[:1], forger.leaf(9, 0, b"", 0, b""), *s.honest[1:]], shown=[0, 2, 3]
    ),
    "a compressed change": lambda s: at_seq(s, 2, change(compressed(s.chunk))),
    "changes in another order than their past": lambda s: s.file(
        [*chain_of_edits(s)[:3], *chain_of_edits(s)[:2:-1]]
    ),
    "an unknown kind": lambda s: s.start(kind="zebra"),
    "an unknown field": lambda s: s.start(put("fields", "zebra", "x")),
    "an event that nobody knows": lambda s: s.start(
        put("events", forger.event_id(), '{"type":"zebra"}')
    ),
    "the last event of a leaf": lambda s: s.start(event(ahead=255)),
    "a field removed": lambda s: s.edit(delete("fields", "title")),
    "a negative number": lambda s: s.start(put("fields", "x", -5, am.ScalarType.Int)),
    "names of 200 letters": lambda s: at_seq(s, 1, writer(s.commune, name="ế" * 200)),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_record_is_refused(scene: Scene, name: str) -> None:
    assert opinions(scene.world, FORGED[name](scene)) == BOTH_REFUSE


@pytest.mark.parametrize("name", ODD)
def test_what_only_looks_odd_holds(scene: Scene, name: str) -> None:
    assert opinions(scene.world, ODD[name](scene)) == BOTH_HOLD
