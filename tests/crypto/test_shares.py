"""Goal: any two holders make the root's key, and nobody makes it alone.

Method: one key split once, as sealing is slow by design; then every pair, and every damage.
"""

import json
import unicodedata
from itertools import combinations

import pytest

from crypto.errors import PasswordError, ShareError
from crypto.identity import NodeKey
from crypto.shares import Share, decode_share, join_key, open_share, split_key

KEY = NodeKey.from_seed(bytes(range(32)))
HOLDERS = (
    ("Trần Thị Một", "ngôi nhà cũ bên suối"),
    ("Lê Văn Hai", "bảy con trâu trắng lội qua"),
    ("Lò Thị Ba", "mưa rơi ngày mồng một"),
)
SALTS = iter(bytes([number]) * 16 for number in range(1, 200))


@pytest.fixture(scope="module")
def shares() -> list[Share]:
    return split_key(KEY, HOLDERS, lambda _: next(SALTS))


@pytest.fixture(scope="module")
def opened(shares: list[Share]) -> list[tuple[Share, bytes]]:
    return [
        (decode_share(share.encode()), open_share(share, passphrase))
        for share, (_, passphrase) in zip(shares, HOLDERS, strict=True)
    ]


def test_any_two_make_the_key(opened: list[tuple[Share, bytes]]) -> None:
    for pair in combinations(opened, 2):
        assert join_key(pair).seed == KEY.seed
        assert join_key(pair[::-1]).seed == KEY.seed


def test_one_alone_says_nothing_and_makes_nothing(opened: list[tuple[Share, bytes]]) -> None:
    for share, content in opened:
        assert KEY.seed[:16] not in content
        assert KEY.seed[16:] not in content
        for tried in ([(share, content)], [(share, content)] * 2, opened):
            with pytest.raises(ShareError) as refused:
                join_key(tried)
            assert refused.value.code == "shares_too_few"


def test_two_splits_of_one_key_have_nothing_in_common(
    shares: list[Share], opened: list[tuple[Share, bytes]]
) -> None:
    again = split_key(KEY, HOLDERS, lambda _: next(SALTS))
    mixed = [opened[0], (again[1], open_share(again[1], HOLDERS[1][1]))]
    with pytest.raises(ShareError) as refused:
        join_key(mixed)
    assert refused.value.code == "share_wrong"
    foreign = split_key(NodeKey.from_seed(bytes(32)), HOLDERS, lambda _: next(SALTS))
    with pytest.raises(ShareError) as refused:
        join_key([opened[0], (foreign[1], open_share(foreign[1], HOLDERS[1][1]))])
    assert refused.value.code == "shares_of_two_keys"
    assert len({share.sealed for share in [*shares, *again, *foreign]}) == 9


def test_a_share_opens_with_its_passphrase_in_either_spelling_and_with_no_other(
    shares: list[Share],
) -> None:
    apart = unicodedata.normalize("NFD", HOLDERS[0][1])
    assert apart != HOLDERS[0][1]
    assert open_share(shares[0], apart) == open_share(shares[0], HOLDERS[0][1])
    with pytest.raises(PasswordError) as refused:
        open_share(shares[0], HOLDERS[1][1])
    assert refused.value.code == "passphrase_wrong"


@pytest.mark.parametrize("name", ["number", "holder", "root", "salt", "sealed"])
def test_a_share_that_was_altered_does_not_open(name: str, shares: list[Share]) -> None:
    fields = json.loads(shares[0].encode())
    others = {"number": 2, "holder": "Người khác"}
    changed = others.get(name) or "00" + str(fields[name])[2:]
    data = json.dumps(fields | {name: changed}, indent=1, sort_keys=True, ensure_ascii=False)
    altered = decode_share(data.encode() + b"\n")
    with pytest.raises(PasswordError):
        open_share(altered, HOLDERS[0][1])


def test_what_is_no_share_is_refused(shares: list[Share]) -> None:
    good = shares[0].encode()
    fields = json.loads(good)
    wrong = [b"", b"{}", b"[]", good[:-1], good + b"\n", b"\xff", b"[" * 5000]
    wrong += [
        json.dumps(fields | change, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        for change in ({"number": True}, {"number": 4}, {"number": "1"}, {"salt": "00"}, {"x": 1})
    ]
    for data in wrong:
        with pytest.raises(ShareError) as refused:
            decode_share(data)
        assert refused.value.code == "share_malformed"


@pytest.mark.parametrize(
    ("holders", "code"),
    [
        (HOLDERS[:2], "holders_unfit"),
        ((HOLDERS[0],) * 3, "holders_unfit"),
        ((("", "x" * 20), *HOLDERS[1:]), "holders_unfit"),
        ((("Một", "ngắn quá"), *HOLDERS[1:]), "passphrase_too_short"),
    ],
)
def test_who_may_not_hold_a_share(holders: tuple[tuple[str, str], ...], code: str) -> None:
    with pytest.raises((ShareError, PasswordError)) as refused:
        split_key(KEY, holders, lambda _: next(SALTS))
    assert refused.value.code == code
    assert refused.value.hint
