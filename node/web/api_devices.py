"""Devices: the site's CA, pairing, proving a key, the list, revoking."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from crypto.errors import PairingError
from crypto.identity import device_id
from crypto.pairing import DeviceProof, Hello, PairingState, Way
from crypto.site import certificate_der, issue_device, read_certificate_der
from node.devices import (
    add_paired,
    admit,
    device_with_id,
    renew_certificate,
    revoke_device,
    wrong_proof,
)
from node.discovery import Found
from node.errors import RequestError
from node.lan import Lan
from node.pairings import Offer
from node.qr import qr_picture
from node.queries.devices import DeviceRow, device_rows, known_nodes
from node.trail import note
from node.web.answers import Done
from node.web.answers_devices import (
    ChallengeAnswer,
    DeviceAnswer,
    DeviceLine,
    DeviceProofBody,
    DevicesAnswer,
    FoundLine,
    NewPairing,
    PairingAnswer,
    PairingGreeting,
    PairingHello,
    PairingNodeProof,
    PairingOutcome,
    PairingProof,
    SiteAnswer,
)
from node.web.calls import Call
from node.web.cookies import keep_device
from node.web.errors import WebError
from node.web.office import Office
from node.web.problems import Problem, refusal_of

log = logging.getLogger(__name__)

# A device that comes once in three months still gets a new certificate in time.
_RENEW_BEFORE_MS: Final = 100 * 24 * 3_600_000


async def read_site(call: Call) -> SiteAnswer:
    """Return what a device has to compare before it trusts this site."""
    return site_answer(call.office, lan_of(call.office))


def site_answer(office: Office, lan: Lan) -> SiteAnswer:
    """Return the site's name, address and fingerprints."""
    return SiteAnswer(
        name=lan.site.name,
        office=office.name,
        address=lan.address,
        fingerprint=lan.site.fingerprint.hex(),
        peer_id=lan.peer_id.hex(),
    )


async def download_site(call: Call) -> web.Response:
    """Return the certificate of the site's CA in a form that systems offer to install."""
    lan = lan_of(call.office)
    name = lan.site.name.removesuffix(".local")
    return web.Response(
        body=certificate_der(lan.site.certificate),
        content_type="application/x-x509-ca-cert",
        headers={"Content-Disposition": f'attachment; filename="{name}.crt"'},
    )


async def begin_pairing(call: Call) -> PairingAnswer:
    """Show a QR code or 8 digits for five minutes."""
    asked, lan, me = call.take(NewPairing), lan_of(call.office), call.me
    offer = lan.pairings.offer(asked.way, asked.name, asked.scope, me.user, lan.now_ms())
    return _pairing(call, lan, offer)


async def read_pairing(call: Call) -> PairingAnswer:
    """Return how far a pairing is."""
    lan = lan_of(call.office)
    return _pairing(call, lan, lan.pairings.find(call.part("id"), lan.now_ms()))


async def confirm_pairing(call: Call) -> PairingAnswer:
    """Store the device: the technician has seen the same six digits on both sides.

    Until this commits nothing is kept; after it the device fetches its certificate.
    """
    office, lan, me = call.office, lan_of(call.office), call.me
    offer = lan.pairings.find(call.part("id"), lan.now_ms())
    offer.pairing.confirm(lan.now_ms())

    def work(now_ms: int) -> bytes:
        made = issue_device(
            lan.site.certificate, lan.site.key, offer.pairing.point, offer.name, now_ms
        )
        certificate = certificate_der(made)
        device = add_paired(
            office.accounts.db,
            point=offer.pairing.point,
            certificate=certificate,
            name=offer.name,
            scope=offer.scope,
            by=me.user,
            now_ms=now_ms,
        )
        note(office.accounts.db, me, now_ms, "device.pair", detail=device.hex())
        return certificate

    try:
        offer.certificate = await office.write(work)
    except BaseException as error:
        # Also when the request was given up: the device must not wait for what was not kept.
        offer.pairing.fail(error.code if isinstance(error, RequestError) else "pairing_failed")
        raise
    return _pairing(call, lan, offer)


async def refuse_pairing(call: Call) -> Done:
    """End a pairing: the digits differ, or nobody came."""
    lan = lan_of(call.office)
    lan.pairings.find(call.part("id"), lan.now_ms()).pairing.refuse("pairing_refused")
    return Done()


async def greet_device(call: Call) -> PairingGreeting:
    """Answer a device that begins to pair."""
    asked, lan = call.take(PairingHello), lan_of(call.office)
    hello = Hello(
        way=asked.way,
        offer=bytes.fromhex(asked.offer),
        commitment=bytes.fromhex(asked.commitment),
        spake=bytes.fromhex(asked.spake),
    )
    with _logged():
        pairing, greeting = lan.pairings.greet(hello, lan.now_ms())
    return PairingGreeting(
        id=pairing,
        site=greeting.site.hex(),
        peer_id=greeting.peer_id.hex(),
        nonce=greeting.nonce.hex(),
        spake=greeting.spake.hex(),
    )


async def prove_pairing(call: Call) -> PairingNodeProof:
    """Check that a device knows the code, and prove the same to it."""
    asked, lan = call.take(PairingProof), lan_of(call.office)
    shown = DeviceProof(
        point=bytes.fromhex(asked.point),
        nonce=bytes.fromhex(asked.nonce),
        proof=bytes.fromhex(asked.proof),
        signature=bytes.fromhex(asked.signature),
    )
    with _logged():
        answer = lan.pairings.prove(asked.id, shown, lan.now_ms())
    return PairingNodeProof(proof=answer.proof.hex(), signature=answer.signature.hex())


async def read_outcome(call: Call) -> PairingOutcome:
    """Tell the device whether the technician has confirmed it."""
    lan = lan_of(call.office)
    offer = lan.pairings.find(call.part("id"), lan.now_ms())
    if offer.pairing.state is PairingState.REFUSED:
        problem = _told(call, offer.pairing.reason)
        return PairingOutcome(
            state="refused",
            reason_code=problem.code,
            reason=problem.message,
            hint=problem.hint,
        )
    if not offer.certificate:
        return PairingOutcome(state="waiting")
    return PairingOutcome(
        state="paired",
        device=device_id(offer.pairing.point).hex(),
        name=offer.name,
        certificate=offer.certificate.hex(),
    )


async def make_challenge(call: Call) -> ChallengeAnswer:
    """Return something for a device to sign."""
    lan = lan_of(call.office)
    challenge = lan.challenges.make(lan.now_ms())
    return ChallengeAnswer(challenge=challenge.hex(), site=lan.site.fingerprint.hex())


async def admit_device(call: Call) -> web.Response:
    """Give a device that has proved its key the cookie with which people sign in there."""
    asked, office, lan = call.take(DeviceProofBody), call.office, lan_of(call.office)
    wanted = bytes.fromhex(asked.device)
    found = await office.read(lambda db: device_with_id(db, wanted))
    if found is None or not found.is_paired:
        raise wrong_proof()
    lan.challenges.check(
        found, bytes.fromhex(asked.challenge), bytes.fromhex(asked.signature), lan.now_ms()
    )
    secret = office.accounts.new_secret()

    def work(now_ms: int) -> DeviceAnswer:
        # It may have been revoked since it was looked up.
        device = device_with_id(office.accounts.db, wanted)
        if device is None:
            raise wrong_proof()
        admit(office.accounts.db, wanted, secret, now_ms)
        certificate = device.certificate
        ends = read_certificate_der(certificate).not_valid_after_utc.timestamp() * 1000
        if ends - now_ms < _RENEW_BEFORE_MS:
            made = issue_device(
                lan.site.certificate, lan.site.key, device.point, device.name, now_ms
            )
            certificate = certificate_der(made)
            renew_certificate(office.accounts.db, wanted, certificate)
        return DeviceAnswer(
            device=asked.device,
            name=device.name,
            scope=device.scope,
            certificate=certificate.hex(),
        )

    answer = await office.write(work)
    response = web.json_response(text=answer.model_dump_json())
    keep_device(response, call.request, office.code, secret)
    return response


async def read_devices(call: Call) -> DevicesAnswer:
    """Return all devices, and everything found on the LAN."""
    office, lan = call.office, call.office.lan
    rows = await office.read(device_rows)
    known = await office.read(known_nodes)
    return DevicesAnswer(
        site=site_answer(office, lan) if lan else None,
        devices=[_device(call, row) for row in rows],
        found=[_found(found, known) for found in lan.discovery.found()] if lan else [],
        is_looking=lan is not None and office.config.lan_discovery,
        trouble=lan.discovery.error if lan else "",
    )


async def revoke(call: Call) -> Done:
    """End the trust in a device, its sign-ins, and whatever it has open."""
    office, me = call.office, call.me
    try:
        device = bytes.fromhex(call.part("id"))
    except ValueError as error:
        raise WebError("device_unknown", 404, "There is no such device.") from error

    def work(now_ms: int) -> None:
        revoke_device(office.accounts.db, device, me.user, now_ms)
        note(office.accounts.db, me, now_ms, "device.revoke", detail=device.hex())

    await office.write(work)
    office.connections.end(device)
    return Done()


@contextmanager
def _logged() -> Iterator[None]:
    """Leave a line for whoever looks why a device did not come in, or who tries codes."""
    try:
        yield
    except PairingError as error:
        log.warning("pairing refused", extra={"code": error.code})
        raise


def lan_of(office: Office) -> Lan:
    """Return what the LAN sees of the node.

    Raises:
        WebError: the pages serve this machine only.
    """
    if office.lan is None:
        raise WebError(
            "lan_off",
            409,
            "This node serves its pages to this machine only.",
            "Set lan_host in node.toml and start it again.",
        )
    return office.lan


def _pairing(call: Call, lan: Lan, offer: Offer) -> PairingAnswer:
    pairing = offer.pairing
    is_open = pairing.state is PairingState.OPEN
    link = picture = code = ""
    if is_open and pairing.way is Way.QR:
        link = f"{lan.address}/pair#{lan.site.fingerprint.hex()}{offer.secret.hex()}"
        picture = qr_picture(link)
    elif is_open:
        code = offer.secret.decode()
    problem = _told(call, pairing.reason) if pairing.reason else None
    return PairingAnswer(
        id=offer.id,
        way=pairing.way,
        name=offer.name,
        state=pairing.state.value,
        seconds_left=max(0, (pairing.expires_ms - lan.now_ms()) // 1000),
        link=link,
        picture=picture,
        code=code,
        digits=pairing.digits,
        reason_code=pairing.reason,
        reason=problem.message if problem else "",
        hint=problem.hint if problem else "",
    )


def _told(call: Call, code: str) -> Problem:
    refusal = refusal_of(PairingError(code, code), call.language)
    assert refusal is not None
    return refusal.problem


def _device(call: Call, row: DeviceRow) -> DeviceLine:
    return DeviceLine(
        id=row.device.hex(),
        name=row.name,
        scope=row.scope,
        is_paired=row.is_paired,
        is_here=row.device in call.office.connections.present(),
        is_mine=row.device == call.me.device,
        people=row.people,
        paired_by=row.paired_by,
        first_seen_ms=row.first_seen_ms,
        seen_ms=row.seen_ms,
        revoked_ms=row.revoked_ms,
        revoked_by=row.revoked_by,
    )


def _found(found: Found, known: frozenset[str]) -> FoundLine:
    sighting, node = found.sighting, found.sighting.node
    return FoundLine(
        kind=sighting.kind,
        name=sighting.name,
        model=sighting.model,
        host=sighting.host,
        address=sighting.address,
        port=sighting.port,
        seen_ms=found.seen_ms,
        checked_ms=found.checked_ms,
        is_reachable=found.is_reachable,
        certificate=found.certificate,
        tier=node.tier if node else "",
        code=node.code if node else "",
        version=node.version if node else "",
        node_id=node.node_id if node else "",
        is_known=bool(node and node.node_id in known),
    )
