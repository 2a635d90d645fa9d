"""Goal: the file of an office key gives the key to who has the passphrase, and to nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import KeyfileError, PasswordError, SealError
from crypto.identity import NodeKey, OfficeKey
from crypto.office import is_plain, office_key_file, open_office_key, read_office_key
from crypto.seal import open_sealed, seal

KEY = OfficeKey.from_private(bytes(range(32)))
SALT = bytes(range(16))
PASSPHRASE = "bốn từ dễ nhớ"
CLOSED = office_key_file(KEY, PASSPHRASE, SALT)


def test_a_key_under_a_passphrase_is_locked_until_it_is_given() -> None:
    key = read_office_key(CLOSED)
    assert (key.public, key.is_open) == (KEY.public, False)
    node = NodeKey.from_seed(bytes(32)).with_office(key)
    sealed = seal(b"040162001234", [node.office_public], b"here")
    with pytest.raises(SealError) as caught:
        open_sealed(sealed, node.office_private, b"here")
    assert caught.value.code == "office_key_locked"
    key.unlock(open_office_key(CLOSED, PASSPHRASE))
    assert open_sealed(sealed, node.office_private, b"here") == b"040162001234"


def test_a_key_in_plain_is_open_at_once() -> None:
    data = office_key_file(KEY)
    assert is_plain(data)
    assert not is_plain(CLOSED)
    assert read_office_key(data).is_open
    assert open_office_key(data, "").public == KEY.public


def test_neither_the_key_nor_the_passphrase_stands_in_the_file() -> None:
    assert KEY.private.private_bytes_raw().hex().encode() not in CLOSED
    assert PASSPHRASE.encode() not in CLOSED


@pytest.mark.parametrize("wrong", ["", "bốn từ dễ nhờ", "x" * 300, "\udce4"])
def test_a_wrong_passphrase_is_refused(wrong: str) -> None:
    with pytest.raises(PasswordError) as caught:
        open_office_key(CLOSED, wrong)
    assert caught.value.code == "passphrase_wrong"


@pytest.mark.parametrize(
    ("passphrase", "code"), [("ngắn", "passphrase_too_short"), ("x" * 257, "passphrase_too_long")]
)
def test_a_passphrase_has_some_length(passphrase: str, code: str) -> None:
    with pytest.raises(PasswordError) as caught:
        office_key_file(KEY, passphrase, SALT)
    assert caught.value.code == code


def test_a_file_with_another_public_half_opens_nothing() -> None:
    other = OfficeKey.from_private(bytes([7]) * 32)
    forged = CLOSED.replace(KEY.public.hex().encode(), other.public.hex().encode())
    with pytest.raises(PasswordError):
        open_office_key(forged, PASSPHRASE)
    plain = office_key_file(KEY).replace(KEY.public.hex().encode(), other.public.hex().encode())
    with pytest.raises(KeyfileError):
        read_office_key(plain)
    with pytest.raises(SealError):
        read_office_key(CLOSED).unlock(other)


@given(st.binary(max_size=400))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(KeyfileError):
        read_office_key(data)


def test_marks_are_equal_for_equal_values_and_differ_by_key() -> None:
    other = OfficeKey.from_private(bytes([7]) * 32)
    assert KEY.mark(b"040162001234") == KEY.mark(b"040162001234")
    assert KEY.mark(b"040162001234") != KEY.mark(b"040162001235")
    assert KEY.mark(b"040162001234") != other.mark(b"040162001234")
    with pytest.raises(SealError):
        OfficeKey(KEY.public).mark(b"x")
