"""Goal: a session is who it says, ends when it should, and guessing is slow without locking out.

Method: the functions on a database in memory, with the time as an argument.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto.password import verify_password
from node.accounts import (
    SIGN_IN_AGE_MS_MAX,
    SIGN_IN_IDLE_MS_MAX,
    AccountError,
    Accounts,
    NewSignIn,
    find_account,
    find_known,
    find_sign_in,
    wait_ms,
)
from node.devices import find_device
from node.views import migrations
from schemas.codes import Role
from sync.database import open_database

NOW_MS = 1_795_000_000_000
SALT = bytes(16)


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    db = open_database(tmp_path / "accounts.db", (migrations,))
    counter = iter(range(1, 1_000))
    made = Accounts(db, lambda size: next(counter).to_bytes(size, "big"))
    made.put(
        user="lan",
        name="Nguyễn Thị Lan",
        role=Role.RECEPTION_OFFICER,
        password="một mật khẩu dài",
        salt=SALT,
    )
    yield made
    db.close()


def sign_in(accounts: Accounts, secret: str = "", now_ms: int = NOW_MS) -> NewSignIn:
    return accounts.sign_in("lan", secret, "a browser", now_ms)


def test_only_a_hash_of_the_password_is_stored(accounts: Accounts) -> None:
    account = find_account(accounts.db, "lan")
    assert account is not None
    assert "mật khẩu" not in account.password
    verify_password("một mật khẩu dài", account.password)


def test_a_token_tells_who_is_signed_in_and_where(accounts: Accounts) -> None:
    new = sign_in(accounts)
    found = find_sign_in(accounts.db, new.token, NOW_MS + 1)
    assert found is not None
    assert (found.user, found.role, found.csrf) == ("lan", Role.RECEPTION_OFFICER, new.csrf)
    assert found.device == known(accounts, new.device_secret)


def known(accounts: Accounts, secret: str) -> bytes:
    device = find_device(accounts.db, secret)
    assert device is not None
    return device.device


def test_no_secret_stands_in_the_database(accounts: Accounts) -> None:
    new = sign_in(accounts)
    rows = accounts.db.execute("SELECT * FROM sign_in").fetchall()
    rows += accounts.db.execute("SELECT * FROM device").fetchall()
    assert new.token not in repr(rows)
    assert new.device_secret not in repr(rows)


def test_an_unknown_token_is_nobody(accounts: Accounts) -> None:
    sign_in(accounts)
    assert find_sign_in(accounts.db, "", NOW_MS) is None
    assert find_sign_in(accounts.db, "x\udce4", NOW_MS) is None


def test_a_known_browser_keeps_its_device(accounts: Accounts) -> None:
    first = sign_in(accounts)
    second = sign_in(accounts, first.device_secret)
    assert second.device_secret == first.device_secret
    assert sign_in(accounts).device_secret != first.device_secret


@pytest.mark.parametrize("after_ms", [SIGN_IN_IDLE_MS_MAX + 1, SIGN_IN_AGE_MS_MAX + 1])
def test_a_session_that_rested_too_long_has_ended(accounts: Accounts, after_ms: int) -> None:
    token = sign_in(accounts).token
    assert find_sign_in(accounts.db, token, NOW_MS + after_ms) is None


def test_a_session_in_use_ends_after_its_longest_age(accounts: Accounts) -> None:
    token = sign_in(accounts).token
    for step in range(0, SIGN_IN_AGE_MS_MAX, SIGN_IN_IDLE_MS_MAX // 2):
        assert find_sign_in(accounts.db, token, NOW_MS + step) is not None
        accounts.touch(token, NOW_MS + step)
    assert find_sign_in(accounts.db, token, NOW_MS + SIGN_IN_AGE_MS_MAX + 1) is None


def test_a_clock_that_was_set_back_asks_for_a_new_sign_of_life(accounts: Accounts) -> None:
    token = sign_in(accounts).token
    found = find_sign_in(accounts.db, token, NOW_MS - 86_400_000)
    assert found is not None
    assert found.needs_touch


def test_signing_out_ends_one_session_and_no_other(accounts: Accounts) -> None:
    first, second = sign_in(accounts), sign_in(accounts)
    accounts.sign_out(first.token)
    assert find_sign_in(accounts.db, first.token, NOW_MS) is None
    assert find_sign_in(accounts.db, second.token, NOW_MS) is not None


def test_a_new_password_ends_the_other_sessions(accounts: Accounts) -> None:
    mine, other = sign_in(accounts), sign_in(accounts)
    accounts.set_password("lan", "$argon2id$...", mine.token)
    assert find_sign_in(accounts.db, mine.token, NOW_MS) is not None
    assert find_sign_in(accounts.db, other.token, NOW_MS) is None


def test_a_closed_account_is_signed_out_at_once(accounts: Accounts) -> None:
    token = sign_in(accounts).token
    accounts.db.execute("UPDATE account SET is_active = 0")
    assert find_sign_in(accounts.db, token, NOW_MS) is None


def test_a_few_failures_cost_nothing_and_more_cost_ever_longer(accounts: Accounts) -> None:
    waits = []
    now_ms = NOW_MS
    for _ in range(12):
        now_ms += wait_ms(accounts.db, "lan", None, now_ms)
        accounts.note_failure("lan", None, now_ms)
        waits.append(wait_ms(accounts.db, "lan", None, now_ms))
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4] > 0
    assert waits[4:] == sorted(waits[4:])
    assert max(waits) <= 60_000


def test_guessing_from_elsewhere_never_locks_out_a_known_browser(accounts: Accounts) -> None:
    secret = sign_in(accounts).device_secret
    for _ in range(50):
        accounts.note_failure("lan", None, NOW_MS)
    assert wait_ms(accounts.db, "lan", None, NOW_MS + 1) > 0
    assert wait_ms(accounts.db, "lan", known(accounts, secret), NOW_MS + 1) == 0


def test_failures_of_one_name_do_not_slow_another(accounts: Accounts) -> None:
    for _ in range(50):
        accounts.note_failure("lan", None, NOW_MS)
    assert wait_ms(accounts.db, "mai", None, NOW_MS + 1) == 0


def test_success_forgets_the_failures_of_that_browser(accounts: Accounts) -> None:
    device_secret = sign_in(accounts).device_secret
    device = known(accounts, device_secret)
    for _ in range(6):
        accounts.note_failure("lan", device, NOW_MS)
        accounts.note_failure("lan", None, NOW_MS)
    sign_in(accounts, device_secret)
    assert wait_ms(accounts.db, "lan", device, NOW_MS + 1) == 0
    assert wait_ms(accounts.db, "lan", None, NOW_MS + 1) > 0


def test_sweeping_keeps_what_is_still_good(accounts: Accounts) -> None:
    old, new = sign_in(accounts), sign_in(accounts, now_ms=NOW_MS + SIGN_IN_IDLE_MS_MAX)
    accounts.note_failure("lan", None, NOW_MS)
    accounts.sweep(NOW_MS + SIGN_IN_IDLE_MS_MAX + 1)
    left = accounts.db.execute("SELECT count(*) FROM sign_in").fetchone()[0]
    assert left == 1
    assert find_sign_in(accounts.db, old.token, NOW_MS) is None
    assert find_sign_in(accounts.db, new.token, NOW_MS + SIGN_IN_IDLE_MS_MAX) is not None
    assert accounts.db.execute("SELECT count(*) FROM failed_sign_in").fetchone()[0] == 0


@pytest.mark.parametrize("user", ["", "L", "Lan", "lan anh", "đức", "a" * 41, "-lan", "lan\n"])
def test_an_unusable_account_name_is_refused(accounts: Accounts, user: str) -> None:
    with pytest.raises(AccountError) as caught:
        accounts.put(user=user, name="X", role=Role.AUDITOR, password="một mật khẩu dài", salt=SALT)
    assert caught.value.code == "account_name_unfit"


def test_every_account_needs_its_own_name_in_the_table(accounts: Accounts) -> None:
    accounts.put(
        user="lan", name="Lan B", role=Role.AUDITOR, password="một mật khẩu khác", salt=SALT
    )
    rows = accounts.db.execute("SELECT name, role FROM account WHERE user = 'lan'").fetchall()
    assert [tuple(row) for row in rows] == [("Lan B", "auditor")]


def test_the_table_refuses_a_session_of_nobody(accounts: Accounts) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        accounts.sign_in("nobody", "", "", NOW_MS)


def test_many_browsers_of_an_insider_guess_no_faster_than_one(accounts: Accounts) -> None:
    accounts.put(
        user="mai", name="Mai", role=Role.RECEPTION_LEAD, password="một mật khẩu khác", salt=SALT
    )
    secrets = [sign_in(accounts).device_secret for _ in range(20)]
    waits = []
    for secret in secrets:
        device = find_known(accounts.db, "mai", secret)
        waits.append(wait_ms(accounts.db, "mai", device, NOW_MS))
        accounts.note_failure("mai", device, NOW_MS)
    assert waits[:5] == [0] * 5
    assert all(waits[5:])


def test_a_clock_that_was_set_back_frees_nobody_and_locks_nobody_out(accounts: Accounts) -> None:
    token = sign_in(accounts).token
    for _ in range(12):
        accounts.note_failure("lan", None, NOW_MS)
    earlier_ms = NOW_MS - 400 * 86_400_000
    accounts.sweep(earlier_ms)
    assert 0 < wait_ms(accounts.db, "lan", None, earlier_ms) <= 60_000
    assert wait_ms(accounts.db, "lan", None, earlier_ms + 15 * 60_000 + 1) == 0
    assert find_sign_in(accounts.db, token, earlier_ms) is not None
    assert find_sign_in(accounts.db, token, earlier_ms + SIGN_IN_AGE_MS_MAX + 1) is None
