"""The site's CA is made once and kept; the certificate of the pages follows addresses and time."""

import random
import socket
import ssl
import threading
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from crypto.errors import KeyfileError
from crypto.keyfile import read_certificate
from node.config import parse_config
from node.errors import ConfigError
from node.folder import NodeFolder, open_folder
from node.site import PageTls, local_name, open_site
from tests.node.places import make_centre

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
HERE = [ip_address("192.168.1.5")]


@pytest.fixture
def folder(tmp_path: Path) -> NodeFolder:
    make_centre(tmp_path / "centre")
    return open_folder(tmp_path / "centre")


def entropy(seed: int = 1) -> "random.Random":
    return random.Random(seed)


def shown(tls: PageTls) -> x509.Certificate:
    """Return the certificate that a browser is shown now."""
    ours, theirs = socket.socketpair()
    asking = ssl.create_default_context()
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE

    def serve() -> None:
        with tls.context.wrap_socket(ours, server_side=True) as connection:
            connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with asking.wrap_socket(theirs) as connection:
        der = connection.getpeercert(binary_form=True)
        connection.send(b".")
    thread.join()
    assert der is not None
    return x509.load_der_x509_certificate(der)


def test_the_ca_is_made_once_and_its_key_is_its_owner_s_alone(folder: NodeFolder) -> None:
    first = open_site(folder, NOW_MS, entropy(1).randbytes)
    again = open_site(folder, NOW_MS + DAY_MS, entropy(2).randbytes)
    assert again.fingerprint == first.fingerprint
    assert (folder.path / "site.key").stat().st_mode & 0o777 == 0o600
    (folder.path / "site.key").chmod(0o640)
    with pytest.raises(KeyfileError, match="other users"):
        open_site(folder, NOW_MS, entropy(3).randbytes)


def test_a_power_cut_between_key_and_certificate_keeps_the_key(folder: NodeFolder) -> None:
    first = open_site(folder, NOW_MS, entropy().randbytes)
    (folder.path / "site.pem").unlink()
    again = open_site(folder, NOW_MS, entropy(2).randbytes)
    assert again.certificate.public_key() == first.certificate.public_key()
    assert read_certificate(folder.path / "site.pem") == again.certificate


def test_the_pages_certificate_follows_addresses_and_time(folder: NodeFolder) -> None:
    tls = PageTls(open_site(folder, NOW_MS, entropy().randbytes), entropy().randbytes)
    assert tls.renew(HERE, NOW_MS)
    first = shown(tls)
    assert not tls.renew(HERE, NOW_MS + DAY_MS)
    assert shown(tls) == first
    assert tls.renew([*HERE, ip_address("10.0.0.7")], NOW_MS + DAY_MS)
    names = shown(tls).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["tiepdan-0.local"]
    assert ip_address("10.0.0.7") in names.get_values_for_type(x509.IPAddress)
    assert tls.renew([*HERE, ip_address("10.0.0.7")], NOW_MS + 90 * DAY_MS)
    # The clock had been ahead, and was set right.
    assert tls.renew([*HERE, ip_address("10.0.0.7")], NOW_MS)


def test_the_node_has_a_name_on_the_lan() -> None:
    assert local_name(parse_config(""), "40.17083") == "tiepdan-40-17083.local"
    assert local_name(parse_config('lan_name = "my-ly"'), "40.17083") == "my-ly.local"


@pytest.mark.parametrize(
    "text",
    [
        'web_host = "0.0.0.0"',
        'web_host = "192.168.1.5"',
        'lan_host = "may-chu"',
        'lan_name = "a.local"',
        'lan_name = "-a"',
        "lan_port = 70000",
    ],
)
def test_a_setting_of_the_lan_that_cannot_be_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=text.split()[0]):
        parse_config(text)
