"""Goal: the present office key opens what was sealed for earlier ones, and no earlier one more."""

import pytest

from crypto.errors import SealError
from crypto.identity import OfficeKey
from crypto.keyring import Keyring
from crypto.seal import office_key_id, open_sealed, recipients_of, seal

KEYS = tuple(OfficeKey.from_private(bytes([number]) * 32) for number in (1, 2, 3))
IDS = [office_key_id(key.public) for key in KEYS]


def third() -> Keyring:
    """Return the keyring of an office whose key changed twice."""
    second = Keyring(present=KEYS[1], former=Keyring(present=KEYS[0]).handed_to(KEYS[1].public))
    return Keyring(present=KEYS[2], former=second.handed_to(KEYS[2].public))


@pytest.mark.parametrize("number", range(3))
def test_the_present_key_opens_what_was_sealed_for_each_of_them(number: int) -> None:
    blob = seal(b"040162001234", [KEYS[number].public], b"here")
    keyring = third()
    assert all(map(keyring.has, IDS))
    assert open_sealed(blob, keyring.opening(recipients_of(blob)), b"here") == b"040162001234"


def test_a_former_key_opens_nothing_that_was_handed_on() -> None:
    thief = Keyring(present=KEYS[0], former=third().former)
    with pytest.raises(SealError) as caught:
        thief.opening([IDS[1]])
    assert caught.value.code == "not_a_recipient"


def test_a_locked_key_locks_the_former_ones_too() -> None:
    locked = Keyring(present=OfficeKey(KEYS[2].public), former=third().former)
    for refused in (lambda: locked.opening([IDS[0]]), lambda: locked.handed_to(KEYS[0].public)):
        with pytest.raises(SealError) as caught:
            refused()
        assert caught.value.code == "office_key_locked"


def test_what_was_sealed_for_others_is_not_opened() -> None:
    other = OfficeKey.from_private(bytes([9]) * 32)
    blob = seal(b"x", [other.public], b"here")
    assert not third().has(office_key_id(other.public))
    with pytest.raises(SealError) as caught:
        open_sealed(blob, third().opening(recipients_of(blob)), b"here")
    assert caught.value.code == "not_a_recipient"
