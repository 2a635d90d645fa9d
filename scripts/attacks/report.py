"""What was tried and whether it was refused, one line each."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from scripts.attacks.caller import Reply


class Report:
    """Counts attempts and tells each as it ends.

    Attributes:
        passed: so many were refused.
        failed: so many were not.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Tell lines to say."""
        self._say = say
        self._theme = ""
        self.passed = 0
        self.failed = 0

    @contextmanager
    def theme(self, name: str) -> Iterator[None]:
        """Name what is tried inside; a theme that breaks off has failed."""
        self._theme = name
        try:
            yield
        except Exception as error:
            self.tried("went on to its end", f"{type(error).__name__}: {error}", refused=False)

    def tried(self, what: str, answer: str, *, refused: bool) -> None:
        """Note one attempt and what came back."""
        if refused:
            self.passed += 1
        else:
            self.failed += 1
        word = "refused" if refused else "TAKEN  "
        shown = answer.replace("\n", " ")[:120]
        self._say(f"{word}  {self._theme}: {what[:100]}: {shown}")

    def answered(self, what: str, reply: Reply, codes: Collection[str] = ()) -> None:
        """Note what a node answered; with codes, it has to be one of these."""
        refused = reply.is_refusal and (not codes or reply.code in codes)
        self.tried(what, f"{reply.status} {reply.code}".strip(), refused=refused)

    def holds(self, what: str, *, good: bool, seen: str = "") -> None:
        """Note what has to be so after the attacks."""
        if good:
            self.passed += 1
        else:
            self.failed += 1
        self._say(f"{'holds  ' if good else 'BROKEN '}  {what}{': ' if seen else ''}{seen}")
