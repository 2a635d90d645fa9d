"""Every function that reads bytes made by others: peers, sticks, files, forms.

What only this node's own disk holds is not among them.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydantic import ValidationError

from crypto.certificates import (
    chain_from_der,
    chain_from_pem,
    request_from_pem,
    subject_of,
    subject_of_request,
)
from crypto.enrolment import parse_token
from crypto.errors import CertificateError, CryptoError, KeyfileError, PasswordError, SealError
from crypto.note import parse_note, parse_proof
from crypto.office import read_office_key
from crypto.password import verify_password
from crypto.seal import from_text, open_sealed, recipients_of
from crypto.sealed_stream import PREFIX_BYTES, StreamOpener, head_bytes, read_head
from crypto.shares import decode_share
from crypto.site import check_site, read_certificate_der
from node.asking import Refused
from node.config import parse_config
from node.enrolling import EnrolAnswer, EnrolRequest
from node.errors import ConfigError, RequestError
from node.paired_device import read_link
from node.renewing import RenewAnswer, RenewRequest
from node.sightings import NODE_TYPE, sighting_of
from node.trail import parse_exported
from node.ways import read_ways
from node.web.calls import parse_json
from node.web.errors import WebError
from node.web.operations import OPERATIONS
from schemas.errors import MessageError, RecordError
from schemas.event_text import decode_event
from schemas.record import decode_certificates, decode_leaf, decode_writer
from schemas.repo import decode_repo_message
from schemas.revocation import decode_revocation_leaf, decode_statement
from schemas.trail import decode_trail
from schemas.wire import decode_messages
from sync.change import parse_change, references
from sync.errors import (
    ChangeError,
    FrameError,
    LinkError,
    NegentropyError,
    PackError,
    RecordFileError,
)
from sync.framing import dictionaries, read_frame
from sync.negentropy import reconcile, respond
from sync.pack_entries import EntryReader, decode_about
from sync.packets import decode_packet
from sync.record_file import verify_record
from sync.sync_message import parse_sync_message
from tests.fuzzing.samples import CONTEXT, ITEMS, STREAM_KEY
from tests.sync.builders import PROVINCE, place, root


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder.

    Attributes:
        read: hands it bytes; raises what it raises.
        errors: its own, which say that the bytes are not well-formed.
    """

    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]

    def must_survive(self, data: bytes) -> None:
        """Hand it bytes.

        Raises:
            Exception: any other than its own errors, which is a fault of the product.
        """
        with suppress(*self.errors):
            self.read(data)


def _change(data: bytes) -> None:
    references(parse_change(data))


def _frame(data: bytes) -> None:
    with suppress(FrameError):
        read_frame(data)
    for dictionary in dictionaries().values():
        read_frame(data, dictionary)


def _entries(data: bytes) -> None:
    reader = EntryReader()
    # As a file is read: a piece ends anywhere.
    list(reader.feed(data[: len(data) // 2]))
    list(reader.feed(data[len(data) // 2 :]))
    reader.finish()


def _stream_head(data: bytes) -> None:
    head_bytes(data[:PREFIX_BYTES])
    read_head(data)


def _stream_body(data: bytes) -> None:
    opener = StreamOpener(STREAM_KEY)
    opener.update(data)
    opener.finish()


def _sealed_value(data: bytes) -> None:
    with suppress(SealError):
        from_text(_text(data))
    recipients_of(data)
    open_sealed(data, place(PROVINCE).key.office_private, CONTEXT)


def _record_file(data: bytes) -> None:
    with suppress(RecordFileError):
        verify_record(data, root())
    verify_record(data, None)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _sighting(data: bytes) -> object:
    name, *texts = data.split(b"\n")
    properties = {key: value for key, _, value in (text.partition(b"=") for text in texts)}
    return sighting_of(NODE_TYPE, _text(name), "x.local.", ["10.0.0.9"], 8444, dict(properties))


def _comparison(data: bytes) -> None:
    respond(ITEMS, data, frame_bytes_max=4_096)
    reconcile(ITEMS, data, frame_bytes_max=4_096)


def _body(data: bytes) -> None:
    """Read what a page, a tablet's outbox or a program sends as the body of each operation."""
    said = parse_json(data)
    for operation in OPERATIONS:
        if isinstance(operation.body, type):
            with suppress(ValidationError):
                operation.body.model_validate(said)


def _ways(data: bytes) -> None:
    """Read the file that a power cut may have left in any state."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "ways.json"
        file.write_bytes(data)
        read_ways(file)


TARGETS: Final = {
    "leaf": Target(decode_leaf, (RecordError,)),
    "writer": Target(decode_writer, (RecordError,)),
    "certificates": Target(decode_certificates, (RecordError,)),
    "event": Target(lambda data: decode_event(_text(data)), (RecordError,)),
    "repo message": Target(decode_repo_message, (MessageError,)),
    "sync message": Target(parse_sync_message, (ChangeError,)),
    "messages": Target(decode_messages, (MessageError,)),
    "change": Target(_change, (ChangeError,)),
    "frame": Target(_frame, (FrameError,)),
    "pack entries": Target(_entries, (PackError,)),
    "pack about": Target(decode_about, (PackError,)),
    "stream head": Target(_stream_head, (SealError,)),
    "stream body": Target(_stream_body, (SealError,)),
    "sealed value": Target(_sealed_value, (SealError,)),
    "certificate": Target(lambda data: subject_of(chain_from_der([data])[0]), (CertificateError,)),
    "certificate file": Target(
        lambda data: [subject_of(one) for one in chain_from_pem(data)], (CertificateError,)
    ),
    "request file": Target(
        lambda data: subject_of_request(request_from_pem(data)), (CertificateError,)
    ),
    "token": Target(lambda data: parse_token(_text(data)), (CryptoError,)),
    "root share": Target(decode_share, (CryptoError,)),
    "enrolment": Target(EnrolRequest.model_validate_json, (ValidationError,)),
    "note": Target(lambda data: parse_note(_text(data)), (CryptoError,)),
    "proof": Target(lambda data: parse_proof(_text(data)), (CryptoError,)),
    "revocation": Target(decode_statement, (RecordError,)),
    "revocation leaf": Target(decode_revocation_leaf, (RecordError,)),
    "trail mark": Target(decode_trail, (RecordError,)),
    "trail line": Target(lambda data: parse_exported(_text(data)), (ValueError,)),
    "packet": Target(decode_packet, (LinkError,)),
    "comparison": Target(_comparison, (NegentropyError,)),
    "office key": Target(read_office_key, (KeyfileError,)),
    "renewal": Target(RenewRequest.model_validate_json, (ValidationError,)),
    "enrolment answer": Target(EnrolAnswer.model_validate_json, (ValidationError,)),
    "renewal answer": Target(RenewAnswer.model_validate_json, (ValidationError,)),
    "refusal": Target(Refused.model_validate_json, (ValidationError,)),
    "request body": Target(_body, (WebError,)),
    "ways": Target(_ways, ()),
    "record file": Target(_record_file, (RecordFileError,)),
    "configuration": Target(lambda data: parse_config(_text(data)), (ConfigError,)),
    "password": Target(lambda data: verify_password("một hai ba", _text(data)), (PasswordError,)),
    "form": Target(parse_json, (WebError,)),
    "site certificate": Target(
        lambda data: check_site(read_certificate_der(data)), (CertificateError,)
    ),
    "pairing link": Target(lambda data: read_link(_text(data)), (RequestError,)),
    "sighting": Target(_sighting, ()),
}
