"""What is raised when something happened that must never be."""


class BrokenPromise(AssertionError):
    """A check found what must never be.

    Attributes:
        code: which promise.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
