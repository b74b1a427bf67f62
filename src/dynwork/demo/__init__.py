"""``dynwork demo``: the whole thing, working, on this machine, in about a minute.

A cluster is started by the code of ``dynwork up`` (:mod:`.show`), a burst of buffers goes in through the public API
(:mod:`.client`), the fleet grows and shrinks before one's eyes (:mod:`.board`), and every hash that comes out is
compared with what hashlib says (:mod:`.work`). Whatever is not as it should be makes the exit code 1.
"""


def main() -> int:
    """Run the demo; return the exit code."""
    from dynwork.demo import show

    return show.main()
