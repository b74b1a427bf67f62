# The C extension; its sources are in native/.

def paths() -> list[tuple[str, int]]: ...
def advance(
    states: bytes,
    remaining: list[int],
    max_steps: int,
    max_seconds: float,
    *,
    in_order: bool = False,
    path: str | None = None,
) -> tuple[bytes, list[int], int]: ...
