"""Stored passwords verify for the right password only, at the cost that was chosen.

Method: round trips over spellings of one password, and stored texts that somebody altered.
"""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import PasswordError
from crypto.password import (
    PASSWORD_CHARS_MAX,
    PASSWORD_CHARS_MIN,
    hash_password,
    verify_password,
)

SALT = bytes(range(16))
PASSWORD = "mật khẩu của xã"
STORED = hash_password(PASSWORD, SALT)


def code_of(password: str, phc: str) -> str:
    with pytest.raises(PasswordError) as caught:
        verify_password(password, phc)
    return caught.value.code


def test_the_right_password_verifies_in_both_unicode_spellings() -> None:
    verify_password(unicodedata.normalize("NFC", PASSWORD), STORED)
    verify_password(unicodedata.normalize("NFD", PASSWORD), STORED)


def test_the_stored_text_is_argon2id_at_the_chosen_cost() -> None:
    assert STORED.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in STORED


@pytest.mark.parametrize("password", ["", "mật khẩu của x", PASSWORD + " ", "x" * 5000, "\ud800"])
def test_another_password_is_refused(password: str) -> None:
    assert code_of(password, STORED) == "password_wrong"


def test_another_salt_gives_another_text() -> None:
    assert hash_password(PASSWORD, bytes(16)) != STORED


@pytest.mark.parametrize(
    ("chars", "code"),
    [
        (PASSWORD_CHARS_MIN - 1, "password_too_short"),
        (PASSWORD_CHARS_MAX + 1, "password_too_long"),
    ],
)
def test_a_password_of_the_wrong_length_is_not_stored(chars: int, code: str) -> None:
    with pytest.raises(PasswordError) as caught:
        hash_password("ă" * chars, SALT)
    assert caught.value.code == code
    assert caught.value.hint


def test_the_length_is_counted_in_letters_not_in_code_points() -> None:
    spelt_out = unicodedata.normalize("NFD", "ậ" * (PASSWORD_CHARS_MIN - 1))
    assert len(spelt_out) > PASSWORD_CHARS_MIN
    with pytest.raises(PasswordError):
        hash_password(spelt_out, SALT)


def test_a_salt_of_the_wrong_length_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="salt"):
        hash_password(PASSWORD, b"short")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("argon2id", "argon2i"),
        ("v=19", "v=16"),
        ("m=19456", "m=999999"),
        ("m=19456", "m=99999999999"),
        ("t=2", "t=200"),
        ("$m=", "$x="),
        (STORED[-10:], ""),
        (STORED, ""),
        (STORED, STORED + "\n"),
    ],
)
def test_an_altered_stored_text_never_verifies(old: str, new: str) -> None:
    assert old in STORED
    assert code_of(PASSWORD, STORED.replace(old, new)) in {
        "password_wrong",
        "password_hash_malformed",
    }


@given(
    phc=st.text(max_size=60) | st.from_regex(r"\A\$argon2id\$v=19\$m=0,t=0,p=0\$\w{11,}\$\w{22,}\Z")
)
def test_arbitrary_stored_texts_raise_only_our_error(phc: str) -> None:
    with pytest.raises(PasswordError):
        verify_password(PASSWORD, phc)
