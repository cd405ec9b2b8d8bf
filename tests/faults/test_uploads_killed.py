"""The server killed while clients upload: what was acknowledged is there, and nothing else stays."""

from pathlib import Path

from kill_uploads import Plan, torment


def test_uploads_while_everything_is_killed(room: Path) -> None:
    """Acknowledged objects are whole, others all or nothing, and after the sweep nothing else is left in the store."""
    result = torment(room, Plan(uploads=32, clients=8, most_bytes=8 * 2**20, seed=1))
    assert sum(result.blows.values()) > 0
    assert result.acknowledged > 0
    assert result.sound, result
