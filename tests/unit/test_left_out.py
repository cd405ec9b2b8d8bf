"""The page of what is left out tells of everything that is refused."""

from left_out import PARTS
from sordino.api.object_headers import NOT_YET
from sordino.api.operations import COS_OPERATIONS, PICTURES, SUB_OPERATIONS, SUBRESOURCES, Resource, not_yet

NAMES = [row.name for part in PARTS for row in part.rows]


def test_sub_resources() -> None:
    """Each name of a query that is known and refused has a row, and no other."""
    offered = {name for names in SUB_OPERATIONS.values() for name in names}
    asked = {name.partition("?")[2].partition("=")[0].partition("&")[0] for name in NAMES if "?" in name}
    sub_resources = {name for name in asked if name.partition("/")[0] not in PICTURES and name != "list-type"}
    assert sub_resources == SUBRESOURCES - offered - {"partNumber"}


def test_pictures() -> None:
    """Each word that asks for a changed picture is told."""
    (row,) = [row for part in PARTS for row in part.rows if row.name.partition("?")[2].startswith(PICTURES)]
    assert [word for word in PICTURES if word not in row.name + row.purpose] == []


def test_headers() -> None:
    """Each header that is known and refused has a row."""
    assert [name for name in NOT_YET if not any(row.startswith(f"{name}: ") for row in NAMES)] == []


def test_calls_without_a_handler() -> None:
    """Each call that is only there to be refused has a row."""
    targets = {Resource.BUCKET: "/", Resource.OBJECT: "/k"}
    refused = [(resource, it) for resource, found in COS_OPERATIONS.items() for it in found if it.handler is not_yet]
    calls = [f"{it.method} {targets[resource]}" for resource, it in refused]
    assert [call for call in calls if call not in NAMES] == []


def test_each_once() -> None:
    """No row stands twice."""
    assert len(NAMES) == len(set(NAMES))
