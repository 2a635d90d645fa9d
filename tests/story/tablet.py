"""A tablet: Chromium with a profile that survives it, closed and killed like a tablet."""

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Playwright

from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.story.browser import FLAGS
from tests.story.processes import PASSWORD, NodeProcess, add_account

# What the database of the browser holds, as somebody with the developer tools reads it.
_READ_ALL = """async () => {
  const text = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value)
    ? [...new Uint8Array(value.buffer || value)].map((b) => String.fromCharCode(b)).join('')
    : value instanceof CryptoKey ? `key extractable=${value.extractable}`
    : value && typeof value === 'object'
      ? Object.entries(value).map(([k, v]) => k + '=' + text(v)).join(' ')
    : String(value);
  const opening = indexedDB.open('tiepdan-outbox');
  const db = await new Promise((resolve) => { opening.onsuccess = () => resolve(opening.result); });
  const found = [];
  for (const name of db.objectStoreNames) {
    const asked = db.transaction(name).objectStore(name).getAll();
    await new Promise((resolve) => { asked.onsuccess = resolve; });
    for (const row of asked.result) found.push(name + ': ' + text(row));
  }
  db.close();
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) found.push(await (await cache.match(request)).text());
  }
  found.push(JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage }));
  return found;
}"""


@contextmanager
def commune_node(folder: Path, officers: Mapping[str, str]) -> Iterator[NodeProcess]:
    """Run a commune with these reception officers, {account: name}; it is killed at the end."""
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    commune = folder / "commune"
    make_commune(commune, folder / "province")
    for user, name in officers.items():
        add_account(commune, user, name, Role.RECEPTION_OFFICER)
    process = NodeProcess(commune)
    start(process)
    try:
        yield process
    finally:
        process.kill()


def start(node: NodeProcess) -> None:
    """Start a node and wait until it answers."""
    node.start()
    # Playwright holds this thread's event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, node.wait_until_up()).result()


@contextmanager
def opened_tablet(playwright: Playwright, profile: Path) -> Iterator[BrowserContext]:
    """Open the browser with what it kept, and close it at the end."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "chromium is missing; scripts/test installs it"
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=program,
        args=list(FLAGS),
        viewport={"width": 800, "height": 1280},
        locale="vi",
    )
    context.set_default_timeout(20_000)
    try:
        yield context
    finally:
        context.close()


def sign_in(page: Page, url: str, user: str, password: str = PASSWORD) -> None:
    """Sign in with the node there, and wait until the app is installed."""
    page.goto(f"{url}/sign-in")
    page.fill("input[name=user]", user)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: "sign-in" not in address)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")


def unlock(page: Page, user: str, password: str = PASSWORD) -> None:
    """Unlock the page that the browser keeps."""
    page.locator("#unlock [name=user]").fill(user)
    page.locator("#unlock [name=password]").fill(password)
    page.keyboard.press("Enter")


def everything_kept(page: Page) -> str:
    """Return all that the browser keeps for the site, as far as its scripts can read it."""
    return "\n".join(page.evaluate(_READ_ALL))
