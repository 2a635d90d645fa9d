"""The data folder of a node: its keys, certificates, settings, database and files.

- node.toml: settings
- key: secret seed of the node's signing key, readable by its owner only
- office.key: the key that opens what is sealed for this office, in plain or under a passphrase;
  node.toml may name another place
- request.pem: what the tier above must sign
- chain.pem: our certificate and those above it, without the root
- root.pem: the one certificate trusted by itself
- lock: held by the program that is at work in the folder
- root.key: at the centre of a demo, the root's seed (in real life kept offline, in parts)
- tiepdan.db: the database
- blobs/: attachments by SHA-256
- incoming/: uploads that have not finished
"""

from dataclasses import dataclass
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
from crypto.office import SALT_BYTES, office_key_file, read_office_key
from crypto.tiers import check_code
from node.config import Config, read_config, write_config
from node.entropy import system_entropy
from node.errors import ConfigError
from schemas.codes import Tier

NODE_LIFETIME_DAYS = 365
ROOT_LIFETIME_DAYS = 3_650


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFolder:
    """An enrolled node's folder, read and checked."""

    path: Path
    config: Config
    key: NodeKey
    chain: list[x509.Certificate]
    root: x509.Certificate
    subject: Subject

    @property
    def database(self) -> Path:
        """Where the database is."""
        return self.path / "tiepdan.db"

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
) -> Path | None:
    """Make a node's folder with a new key.

    A centre also gets a root and enrols itself; the others get a request to carry upwards. Without
    a passphrase the office key stands in its file in plain.

    Returns:
        The request file, or None at the centre.

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
    root_key = _kept_key(path / "root.key") if tier is Tier.CENTRE else None
    write_config(path, config)
    read_config(path)
    arriving = path / "request.pem.new"
    arriving.write_bytes(request_to_pem(request))
    arriving.replace(path / "request.pem")
    if root_key is None:
        return path / "request.pem"
    root = make_root(root_key, "tiepdan", now_ms, ROOT_LIFETIME_DAYS)
    (path / "root.pem").unlink(missing_ok=True)
    install_chain(path, [issue(root, root_key, request, now_ms, NODE_LIFETIME_DAYS)], root)
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


def _kept_office(path: Path, passphrase: str) -> OfficeKey:
    if path.exists():
        return read_office_key(read_secret(path))
    office = OfficeKey.generate()
    write_secret(path, office_key_file(office, passphrase, system_entropy(SALT_BYTES)))
    return office


def sign_request(path: Path, request_pem: bytes, now_ms: int, days: int) -> bytes:
    """Return, as PEM, the chain and the root for a child's request.

    A province is signed with the root's key, a commune with the province's own.

    Raises:
        CryptoError: the request is not one that this node may sign.
    """
    request = request_from_pem(request_pem)
    root = read_certificate(path / "root.pem")
    if (path / "root.key").exists():
        chain = [issue(root, read_key(path / "root.key"), request, now_ms, days)]
    else:
        own = read_chain(path / "chain.pem")
        chain = [issue(own[0], read_key(path / "key"), request, now_ms, days), *own]
    return chain_to_pem([*chain, root])


def install_chain(path: Path, chain: list[x509.Certificate], root: x509.Certificate) -> Subject:
    """Put a signed chain into a node's folder after checking that it is ours.

    Raises:
        CryptoError: it does not lead to the root.
        ConfigError: it was made for another key, or leads to another root than before.
    """
    key = read_key(path / "key")
    subject = verify_chain(chain, root, None)
    if subject.peer_id != key.peer_id:
        raise ConfigError(
            "certificate_foreign",
            "This certificate was made for another node's key.",
            "Send this folder's request.pem to the tier above and install what comes back.",
        )
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
    if not (path / "chain.pem").exists():
        raise ConfigError(
            "not_enrolled",
            "This node has no certificate yet.",
            f"Carry {path / 'request.pem'} to the tier above, have it signed with `tiepdan enrol"
            " --sign`, and install the answer with `tiepdan enrol --install`.",
        )
    config = read_config(path)
    office = read_office_key(read_secret(office_key_path(path, config)))
    key = read_key(path / "key").with_office(office)
    chain = read_chain(path / "chain.pem")
    root = read_certificate(path / "root.pem")
    subject = verify_chain(chain, root, None)
    check_key(subject, key)
    return NodeFolder(path=path, config=config, key=key, chain=chain, root=root, subject=subject)


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
    if parent.tier is Tier.CENTRE:
        return subject.tier is Tier.PROVINCE
    return (
        parent.tier is Tier.PROVINCE
        and subject.tier is Tier.COMMUNE
        and subject.code.startswith(parent.code + ".")
    )
