import re
import uuid
from base64 import b64decode
from datetime import UTC, datetime

from sordino.wire.ids import new_job_id, new_queue_id, new_request_id, new_template_id, new_trace_id

NOW = datetime.fromtimestamp(0x59427F89, UTC)


def test_job_id():
    """A job id is ``j`` and the hex of a UUIDv1."""
    job_id = new_job_id()
    assert re.fullmatch("j[0-9a-f]{32}", job_id)
    assert uuid.UUID(job_id[1:]).version == 1


def test_job_ids_leak_no_mac_address():
    """The node is marked as random and changes from id to id."""
    nodes = {uuid.UUID(new_job_id()[1:]).node for _ in range(20)}
    assert len(nodes) == 20
    assert all(node >> 40 & 1 for node in nodes)
    assert uuid.getnode() not in nodes


def test_queue_id():
    """A queue id is ``p`` and the hex of a UUIDv4."""
    queue_id = new_queue_id()
    assert re.fullmatch("p[0-9a-f]{32}", queue_id)
    assert uuid.UUID(queue_id[1:]).version == 4


def test_template_id():
    """A template id is ``t1`` and the hex of a UUIDv4."""
    template_id = new_template_id()
    assert re.fullmatch("t1[0-9a-f]{32}", template_id)
    assert uuid.UUID(template_id[2:]).version == 4


def test_request_id():
    """A request id is the base64 of the time in hex and three random numbers."""
    parts = b64decode(new_request_id(NOW), validate=True).decode().split("_")
    assert parts[0] == "59427f89"
    assert len(parts) == 4
    assert all(re.fullmatch("[0-9a-f]+", part) for part in parts)


def test_trace_id():
    """A trace id is base64."""
    assert b64decode(new_trace_id(), validate=True)


def test_ids_do_not_repeat():
    """A thousand ids of each kind, made in the same moment, all differ."""
    for make in (new_job_id, new_queue_id, lambda: new_request_id(NOW), new_trace_id):
        assert len({make() for _ in range(1000)}) == 1000
