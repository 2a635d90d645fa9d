"""The data folder of a node: its keys, certificates, settings, database and files.

- node.toml: settings
- key: secret seed of the node's signing key, readable by its owner only
- office.key: the key that opens what is sealed for this office, in plain or under a passphrase;
  node.toml may name another place
- spare.pem: certificate of the spare key of a commune
- former/: office keys from before, sealed to the present one
- request.pem: what the tier above must sign
- chain.pem: our certificate and those above it, without the root
- root.pem: the one certificate trusted by itself
- site.key, site.pem: the CA of this site for browsers and devices, made when first needed
- lock: held by the program that is at work in the folder
- root.key: at the centre of a demo, the root's seed (in real life kept offline, in parts)
- issued/: certificates that this node issued
- tokens/: one-time tokens that it made
- tiepdan.db: the database
- blobs/: attachments by SHA-256
- incoming/: uploads that have not finished
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from crypto.certificates import (
    Subject,
    chain_to_pem,
    issue,
    make_request,
    make_root,
    request_from_pem,
    request_to_pem,
    verify_chain,
)
from crypto.identity import NodeKey, OfficeKey
from crypto.keyfile import (
    read_certificate,
    read_chain,
    read_key,
    read_secret,
    write_chain,
    write_key,
    write_secret,
)
from crypto.keyring import Keyring
from crypto.office import office_key_file, read_office_key
from crypto.passphrase import SALT_BYTES
from crypto.tiers import check_code, is_directly_above
from node.config import Config, read_config, write_config
from node.entropy import system_entropy
from node.errors import ConfigError
from node.issuing import issue_below, lifetime_days, revoked_in
from schemas.codes import Tier

ROOT_LIFETIME_DAYS = 3_650
# What is ready to take the place of the node's present identity; see node/rotating.py.
ROTATED = "rotated"
# Certificate of the spare key, which is kept apart.
SPARE_CHAIN = "spare.pem"
FORMER = "former"
_FORMER_SUFFIX = ".office"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFolder:
    """An enrolled node's folder, read and checked.

    Attributes:
        former: office keys from before, sealed to the present one, by their key ids.
    """

    path: Path
    config: Config
    key: NodeKey
    chain: list[x509.Certificate]
    root: x509.Certificate
    subject: Subject
    former: Mapping[bytes, bytes] = field(default_factory=dict)

    def take(self, chain: list[x509.Certificate]) -> None:
        """Let all who hold this folder see a chain that was installed while the node runs."""
        self.chain[:] = chain

    @property
    def database(self) -> Path:
        """Where the database is."""
        return self.path / "tiepdan.db"

    @property
    def keyring(self) -> Keyring:
        """What opens seals for this office."""
        return Keyring(present=self.key.office, former=self.former)

    @property
    def office_key(self) -> Path:
        """Where the key that opens sealed values is."""
        return office_key_path(self.path, self.config)

    @property
    def blobs(self) -> Path:
        """Where attachments are."""
        return self.path / "blobs"

    @property
    def incoming(self) -> Path:
        """Where uploads arrive."""
        return self.path / "incoming"


def init_folder(
    path: Path,
    *,
    tier: Tier,
    code: str,
    name: str,
    config: Config,
    now_ms: int,
    passphrase: str = "",
    makes_root: bool = True,
) -> Path | None:
    """Make a node's folder with a new key.

    A centre that makes the root enrols itself; all others get a request to be signed. Without a
    passphrase the office key stands in its file in plain.

    Returns:
        The request file; None where nothing more is to be signed.

    Raises:
        ConfigError: the folder cannot be made or holds a node already.
        CryptoError: tier, code or name are not usable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Names and words of citizens stand in the database: other users of the machine see nothing.
        path.chmod(0o700)
        (path / "incoming").mkdir(exist_ok=True)
        (path / "blobs").mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(
            "data_not_writable",
            f"The folder {path} cannot be used: {error.strerror}.",
            "Choose a folder that this user may write to.",
        ) from error
    if _is_made(path):
        raise ConfigError(
            "already_initialised",
            f"The folder {path} holds a node already.",
            "Use another folder; a node's key must never be overwritten.",
        )
    check_code(tier, code)
    office = _kept_office(office_key_path(path, config), passphrase)
    key = _kept_key(path / "key").with_office(office)
    request = make_request(key, tier, code, name)
    makes_root = makes_root and tier is Tier.CENTRE
    root_key = _kept_key(path / "root.key") if makes_root else None
    write_config(path, config)
    read_config(path)
    arriving = path / "request.pem.new"
    arriving.write_bytes(request_to_pem(request))
    arriving.replace(path / "request.pem")
    if root_key is None:
        return path / "request.pem"
    root = make_root(root_key, "tiepdan", now_ms, ROOT_LIFETIME_DAYS)
    (path / "root.pem").unlink(missing_ok=True)
    days = lifetime_days(Tier.CENTRE)
    install_chain(path, [issue(root, root_key, request, now_ms, days)], root)
    return None


def _is_made(path: Path) -> bool:
    """Tell whether a node was made there to the end; a power cut leaves the first part of one."""
    is_centre = (path / "root.key").exists()
    return (path / "chain.pem").exists() or ((path / "request.pem").exists() and not is_centre)


def _kept_key(path: Path) -> NodeKey:
    """Return the key that a making cut short left there, or a new one, on the disk."""
    if path.exists():
        return read_key(path)
    key = NodeKey.generate()
    write_key(path, key)
    return key


def office_key_path(path: Path, config: Config) -> Path:
    """Return where the office key of a data folder is; a relative place is one in the folder."""
    return path / (config.office_key or "office.key")


def read_former(path: Path) -> dict[bytes, bytes]:
    """Return the former office keys in a folder, sealed to the present one, by their key ids.

    Raises:
        KeyfileError: one cannot be read.
    """
    files = sorted(path.glob(f"*{_FORMER_SUFFIX}"))
    return {bytes.fromhex(file.stem): read_secret(file) for file in files}


def write_former(path: Path, former: Mapping[bytes, bytes]) -> None:
    """Write former office keys into a folder.

    Raises:
        KeyfileError: they cannot be written.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    for key_id, sealed in former.items():
        write_secret(path / f"{key_id.hex()}{_FORMER_SUFFIX}", sealed)


def _kept_office(path: Path, passphrase: str) -> OfficeKey:
    if path.exists():
        return read_office_key(read_secret(path))
    office = OfficeKey.generate()
    write_secret(path, office_key_file(office, passphrase, system_entropy(SALT_BYTES)))
    return office


def sign_request(
    path: Path, request_pem: bytes, now_ms: int, days: int | None = None, *, again: bool = False
) -> bytes:
    """Return, as PEM, the chain and the root for a child's request.

    A province is signed with the root's key, a commune with the province's own, an outpost with
    the commune's.

    Args:
        path: data folder of the one who signs.
        request_pem: of the child.
        now_ms: wall clock.
        days: for which it is good; None for what is usual.
        again: the place may have another key that goes on being good.

    Raises:
        RequestError: the place has a key already, or the root's key is elsewhere.
        CryptoError: the request is not one that this node may sign.
    """
    request = request_from_pem(request_pem)
    chain = issue_below(
        path, request, now_ms=now_ms, is_revoked=revoked_in(path), again=again, days=days
    )
    return chain_to_pem(chain)


def install_chain(path: Path, chain: list[x509.Certificate], root: x509.Certificate) -> Subject:
    """Put a signed chain into a node's folder after checking that it is ours.

    Raises:
        CryptoError: it does not lead to the root.
        ConfigError: it was made for another key, or leads to another root than before.
    """
    subject = verify_chain(chain, root, None)
    check_key(subject, _read_keys(path, read_config(path)))
    if (path / "root.pem").exists() and read_certificate(path / "root.pem") != root:
        raise ConfigError(
            "root_foreign",
            "This certificate leads to another root than the one installed here.",
            "Ask the tier above whether the root was changed; do not go on without an answer.",
        )
    # The chain last: with it the node counts as enrolled.
    write_chain(path / "root.pem", [root])
    write_chain(path / "chain.pem", chain)
    return subject


def open_folder(path: Path) -> NodeFolder:
    """Return an enrolled node's folder.

    Raises:
        ConfigError: there is no node in it, or it is not enrolled.
        CryptoError: its key or certificates are missing, damaged or do not fit.
    """
    if not (path / "key").exists():
        raise ConfigError(
            "not_initialised",
            f"There is no node in {path}.",
            "Make one with: tiepdan init --data FOLDER --tier commune --code 40.17083 --name NAME",
        )
    if (path / ROTATED).exists():
        raise ConfigError(
            "rotation_unfinished",
            "This node was taking its spare key into use when it was interrupted.",
            f"Run: tiepdan rotate --data {path}",
        )
    if not (path / "chain.pem").exists():
        raise ConfigError(
            "not_enrolled",
            "This node has no certificate yet.",
            f"Carry {path / 'request.pem'} to the tier above, have it signed with `tiepdan enrol"
            " --sign`, and install the answer with `tiepdan enrol --install`.",
        )
    config = read_config(path)
    key = _read_keys(path, config)
    chain = read_chain(path / "chain.pem")
    root = read_certificate(path / "root.pem")
    subject = verify_chain(chain, root, None)
    check_key(subject, key)
    return NodeFolder(
        path=path,
        config=config,
        key=key,
        chain=chain,
        root=root,
        subject=subject,
        former=read_former(path / FORMER),
    )


def _read_keys(path: Path, config: Config) -> NodeKey:
    office = read_office_key(read_secret(office_key_path(path, config)))
    return read_key(path / "key").with_office(office)


def check_key(subject: Subject, key: NodeKey) -> None:
    """Check that a certificate is about this key.

    Raises:
        ConfigError: it is about another.
    """
    if subject.peer_id != key.peer_id:
        raise ConfigError(
            "certificate_foreign",
            "The certificate in this folder belongs to another node's key.",
            "Install the certificate that was signed for this folder's request.pem.",
        )
    if subject.office_public != key.office_public:
        raise ConfigError(
            "office_key_foreign",
            "The office key does not belong to the certificate in this folder.",
            "Put the right office.key in its place; what was sealed is opened by no other.",
        )


def expiry_ms(certificate: x509.Certificate) -> int:
    """Return when a certificate ends, in milliseconds since 1970."""
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


def is_directly_below(subject: Subject, parent: Subject) -> bool:
    """Tell whether one node is enrolled under the other."""
    return is_directly_above(parent.code, subject.code)
