"""An office whose program is not ours: its key, its request and its certificate (section 2)."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from tests.independent.forger import Signer
from tests.independent.peer_link import tls
from tests.independent.record_checker import OFFICE_KEY, SUBJECT, read_chain, read_place


class Office:
    """A commune; folder is where its program may keep files."""

    def __init__(self, folder: Path, code: str, name: str) -> None:
        folder.mkdir()
        self.folder, self.code, self.name = folder, code, name
        self.key = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)[:32])
        self.office_key = X25519PrivateKey.from_private_bytes(code.encode().ljust(32)[:32])

    def request(self) -> bytes:
        """Return what it asks the province to sign, as PEM."""
        values = (self.name, f"tiepdan commune {self.code}", self.code)
        subject = [x509.NameAttribute(*each) for each in zip(SUBJECT, values, strict=True)]
        uri = x509.UniformResourceIdentifier(f"tiepdan:commune:{self.code}")
        held = b"\x04\x20" + self.office_key.public_key().public_bytes_raw()
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name(subject))
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .add_extension(x509.UnrecognizedExtension(OFFICE_KEY, held), critical=False)
        )
        return request.sign(self.key, None).public_bytes(Encoding.PEM)

    def enrol(self, pem: bytes) -> None:
        """Take the certificates that come back: its own, those above, and the root at the end."""
        *chain, root = [
            each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem)
        ]
        self.root = read_place(root)
        place = read_chain(chain, self.root)
        self.context = tls(self.folder, self.key, chain, root)
        self.me = Signer(
            tier=place.tier,
            code=place.code,
            name=place.name,
            peer_id=place.key,
            chain=chain,
            sign=self.key.sign,
        )
