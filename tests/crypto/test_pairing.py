"""Pairing: who knows the code comes in, once; nobody else does, and nobody between them."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import p256
from crypto.errors import CryptoError, PairingError
from crypto.identity import NodeKey
from crypto.pairing import (
    LIFETIME_MS,
    DevicePairing,
    DeviceProof,
    Greeting,
    Hello,
    NodePairing,
    NodeProof,
    PairingState,
    Way,
    mint_secret,
)

NOW = 1_000_000
SITE, EVIL = b"s" * 32, b"e" * 32
NODE = NodeKey.from_seed(b"n" * 32)
ways = st.sampled_from(list(Way))
seeds = st.integers(0, 2**32)


def entropy(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def offered(
    way: Way, seed: int = 1, site: bytes = SITE, key: NodeKey = NODE
) -> tuple[bytes, NodePairing]:
    draw = entropy(seed)
    secret = mint_secret(way, draw)
    node = NodePairing(way=way, secret=secret, key=key, site=site, now_ms=NOW, entropy=draw)
    return secret, node


def device(way: Way, secret: bytes, seed: int = 2, expected: bytes = SITE) -> DevicePairing:
    draw = entropy(seed)
    return DevicePairing(
        way=way,
        secret=secret,
        key=p256.p256_key(draw(p256.SECRET_BYTES)),
        expected_site=expected if way is Way.QR else b"",
        entropy=draw,
    )


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(PairingError) as caught:
        work()
    return caught.value.code


@settings(max_examples=20)
@given(way=ways, seed=seeds, other=seeds)
def test_who_knows_the_code_is_paired_and_both_show_the_same_digits(
    way: Way, seed: int, other: int
) -> None:
    secret, node = offered(way, seed)
    phone = device(way, secret, other)
    shown = phone.prove(node.greet(phone.hello, NOW), SITE)
    digits = phone.finish(node.prove(shown, NOW))
    assert digits == node.digits
    assert len(digits) == 6
    assert digits.isdigit()
    assert not node.is_over(NOW)
    node.confirm(NOW)
    assert node.is_over(NOW)
    assert node.state is PairingState.CONFIRMED
    assert node.point == shown.point


@settings(max_examples=10)
@given(way=ways, seed=seeds)
def test_a_wrong_code_is_refused_and_leaves_no_second_attempt(way: Way, seed: int) -> None:
    secret, node = offered(way, seed)
    wrong = bytes([secret[0] ^ 1]) + secret[1:]
    phone = device(way, wrong)
    greeting = node.greet(phone.hello, NOW)
    shown = phone.prove(greeting, SITE)
    assert refused(lambda: node.prove(shown, NOW)) == "pairing_proof_wrong"
    assert refused(lambda: node.prove(shown, NOW)) == "pairing_used"
    right = device(way, secret)
    assert refused(lambda: node.greet(right.hello, NOW)) == "pairing_used"
    assert refused(lambda: node.confirm(NOW)) == "pairing_not_proven"
    assert node.reason == "pairing_proof_wrong"


@pytest.mark.parametrize("way", Way)
def test_a_replayed_code_is_refused(way: Way) -> None:
    secret, node = offered(way)
    phone = device(way, secret)
    node.prove(phone.prove(node.greet(phone.hello, NOW), SITE), NOW)
    again = device(way, secret, seed=3)
    assert refused(lambda: node.greet(again.hello, NOW)) == "pairing_used"
    assert node.state is PairingState.PROVEN


@pytest.mark.parametrize("way", Way)
def test_what_takes_longer_than_five_minutes_is_refused_at_each_step(way: Way) -> None:
    secret, node = offered(way)
    phone = device(way, secret)
    late = NOW + LIFETIME_MS
    assert refused(lambda: node.greet(phone.hello, late)) == "pairing_expired"
    _, node = offered(way)
    shown = phone.prove(node.greet(phone.hello, NOW), SITE)
    assert refused(lambda: node.prove(shown, late)) == "pairing_expired"
    _, node = offered(way)
    phone = device(way, secret)
    node.prove(phone.prove(node.greet(phone.hello, NOW), SITE), late - 1)
    assert refused(lambda: node.confirm(late - 1 + LIFETIME_MS)) == "pairing_expired"
    assert node.state is PairingState.REFUSED


def test_a_node_with_another_certificate_than_the_qr_code_says_is_refused() -> None:
    secret, node = offered(Way.QR, site=EVIL)
    phone = device(Way.QR, secret)
    greeting = node.greet(phone.hello, NOW)
    assert refused(lambda: phone.prove(greeting, EVIL)) == "pairing_site_foreign"
    assert refused(lambda: phone.prove(replace(greeting, site=SITE), EVIL)) == (
        "pairing_site_foreign"
    )


@pytest.mark.parametrize("way", Way)
def test_somebody_who_passes_everything_on_is_found_by_his_certificate(way: Way) -> None:
    # The device sees the certificate of the one between, whatever the greeting says.
    secret, node = offered(way)
    phone = device(way, secret, expected=b"")
    passed_on = replace(node.greet(phone.hello, NOW), site=EVIL)
    if way is Way.QR:
        phone = device(way, secret, expected=SITE)
        assert refused(lambda: phone.prove(passed_on, EVIL)) == "pairing_site_foreign"
        return
    shown = phone.prove(passed_on, EVIL)
    assert refused(lambda: node.prove(shown, NOW)) == "pairing_proof_wrong"


def test_a_node_that_does_not_know_the_code_proves_nothing() -> None:
    secret, _ = offered(Way.CODE)
    guess, liar = offered(Way.CODE, seed=9)
    assert guess != secret
    phone = device(Way.CODE, secret)
    phone.prove(liar.greet(phone.hello, NOW), SITE)
    lie = NodeProof(proof=bytes(32), signature=bytes(64))
    assert refused(lambda: phone.finish(lie)) == "pairing_node_unproven"


def test_a_node_without_the_key_it_names_proves_nothing() -> None:
    secret, node = offered(Way.QR)
    other = NodeKey.from_seed(b"o" * 32)
    phone = device(Way.QR, secret)
    answer = node.prove(phone.prove(node.greet(phone.hello, NOW), SITE), NOW)
    forged = replace(answer, signature=other.sign(b"anything"))
    assert refused(lambda: phone.finish(forged)) == "pairing_node_unproven"


def test_who_knows_the_secret_cannot_choose_a_key_after_hearing_the_nonce() -> None:
    secret, node = offered(Way.QR)
    first, second = device(Way.QR, secret, 2), device(Way.QR, secret, 3)
    greeting = node.greet(first.hello, NOW)
    second.hello = first.hello
    shown = second.prove(greeting, SITE)
    assert refused(lambda: node.prove(shown, NOW)) == "pairing_proof_wrong"


def test_a_key_that_the_device_does_not_have_is_not_paired() -> None:
    secret, node = offered(Way.QR)
    phone = device(Way.QR, secret)
    shown = phone.prove(node.greet(phone.hello, NOW), SITE)
    assert refused(lambda: node.prove(replace(shown, signature=bytes(64)), NOW)) == (
        "pairing_key_unproven"
    )


@settings(max_examples=40)
@given(
    way=ways,
    hello=st.builds(
        Hello,
        way=ways,
        offer=st.binary(max_size=9),
        commitment=st.binary(max_size=33),
        spake=st.binary(max_size=386),
    ),
    shown=st.builds(
        DeviceProof,
        point=st.binary(max_size=66),
        nonce=st.binary(max_size=33),
        proof=st.binary(max_size=33),
        signature=st.binary(max_size=65),
    ),
)
def test_nonsense_costs_the_attempt_and_pairs_nothing(
    way: Way, hello: Hello, shown: DeviceProof
) -> None:
    _, node = offered(way)
    try:
        node.greet(hello, NOW)
        node.prove(shown, NOW)
    except PairingError:
        pass
    assert node.state is PairingState.REFUSED
    assert node.point == b""


@settings(max_examples=20)
@given(
    greeting=st.builds(
        Greeting,
        site=st.just(SITE),
        peer_id=st.binary(max_size=33),
        nonce=st.binary(max_size=33),
        spake=st.binary(max_size=386),
    ),
    answer=st.builds(NodeProof, proof=st.binary(max_size=33), signature=st.binary(max_size=65)),
)
def test_a_device_believes_no_nonsense(greeting: Greeting, answer: NodeProof) -> None:
    for way in Way:
        phone = device(way, mint_secret(way, entropy(1)))

        def pair(phone: DevicePairing = phone) -> str:
            phone.prove(greeting, SITE)
            return phone.finish(answer)

        with pytest.raises(CryptoError):
            pair()
