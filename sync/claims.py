"""Own logs of the present epoch, or a later one, that the peer gives back: it may know more."""

from crypto.certificates import Subject
from crypto.identity import log_id
from schemas.wire import Ack, Head, Message
from sync.epochs import open_epoch
from sync.replica import Replica
from sync.stopping import go_on


class Claims:
    """What one peer gives back; no leaves are taken of it, its heads say whether we are a copy."""

    def __init__(self, replica: Replica, peer: Subject) -> None:
        """Know of no offer."""
        self._replica = replica
        self._peer = peer
        # Epoch and purpose, by the number of the offer.
        self._offered: dict[int, tuple[int, str]] = {}
        # Logs of which we have all that the peer gave back, and what it means if they are stopped.
        self._held: dict[bytes, str] = {}

    def __contains__(self, number: object) -> bool:
        """Tell whether the offer with this number is one."""
        return number in self._offered

    def add(self, number: int, epoch: int, purpose: str) -> None:
        """Remember an offer."""
        self._offered[number] = epoch, purpose

    def named(self, number: int) -> bytes:
        """Return the id of the log of an offer."""
        epoch, purpose = self._offered[number]
        return log_id(self._replica.subject.peer_id, purpose, epoch)

    def on_head(self, head: Head, now_ms: int) -> list[Message]:
        """Go on in the next epoch if the peer holds leaves that we signed and do not have.

        Else it missed what we offered, or takes no more of it: it hears that we have all that it
        has, so that it does not ask again.

        Raises:
            LinkError: we did not sign the head.
        """
        number = int.from_bytes(head.log, "big")
        epoch, purpose = self._offered[number]
        if epoch < self._replica.epoch:
            return []
        is_news = self._replica.inbound.proves(epoch, purpose, head, now_ms)
        log = self._replica.store.find_log(self.named(number))
        if log is not None and not is_news:
            detail = f"{self._peer.name} holds {head.size} leaves of it and takes no more"
            self._held[log.log_id] = detail
            self.look_again(now_ms)
            return [Ack(log=head.log, have_seq=log.size, gaps=(), cosignatures=())]
        is_behind = log is None or head.size > log.size
        open_epoch(
            self._replica,
            epoch + 1,
            now_ms,
            "log_behind" if is_behind else "log_forked",
            f"{self._peer.name} holds {head.size} leaves of epoch {epoch} with our signature",
        )
        return []

    def look_again(self, now_ms: int) -> None:
        """Go on in the next epoch if what the peer gave back is of a log that is stopped by now.

        That it takes no more of the log may be heard after the head, and before.
        """
        for held, detail in self._held.items():
            log = self._replica.store.find_log(held)
            if log is not None:
                go_on(self._replica, log, detail, now_ms)
