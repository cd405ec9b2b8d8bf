"""The consumers of message queues in docs/how-to/receive-callbacks.md run, and read what is sent there."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from brokers import AMQP, callback, cmq_server, message_service, mq_target, own_database, rabbit
from rows import NOW, ROOT, job
from sordino.adapters.amqp_callback import AmqpSender
from sordino.adapters.embedded_callback import EmbeddedSender
from sordino.domain.callback import CallbackFormat
from sordino.domain.job import JobState
from sordino.domain.ports import Sender
from sordino.wire.callbacks import render_body
from support import new_name

GUIDE = Path(__file__).resolve().parents[2] / "docs/how-to/receive-callbacks.md"
JOB = job(state=JobState.FAILED, code="ResourceNotFound", ended_at=NOW)


@asynccontextmanager
async def consumer(directory: Path, library: str, **environment: str) -> AsyncIterator[asyncio.StreamReader]:
    """What the guide's program with that library says."""
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    (program,) = [text for text in programs if library in text]
    script = directory / "consumer.py"
    script.write_text(program)
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, cwd=directory, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def tell(sender: Sender, name: str) -> None:
    """Send the end of ``JOB``."""
    await sender.send(callback(mq_target(name), render_body(JOB, CallbackFormat.JSON)))


async def test_consumer_of_rabbitmq(tmp_path: Path) -> None:
    """It reads what is sent, whoever made the queue."""
    async with rabbit() as one, aclosing(AmqpSender(AMQP, 20.0)) as sender:
        name = one.name()
        async with consumer(tmp_path, "import aio_pika", AMQP_URL=AMQP, QUEUE=name) as said:
            await tell(sender, name)
            assert await asyncio.wait_for(said.readline(), 60) == b"j1 Failed\n"


@pytest.mark.parametrize("early", [True, False])
async def test_consumer_of_queues_of_our_own(tmp_path: Path, embedded: str, early: bool) -> None:
    """It waits for the queue to be made, and for messages."""
    async with own_database(embedded) as database, message_service(database) as service:
        sender, name = EmbeddedSender(database=database, queues=service.queues, topics=service.topics), new_name("q")
        if early:
            await tell(sender, name)
        async with cmq_server(database, service) as port:
            environment = {"CMQ_URL": f"http://127.0.0.1:{port}", "QUEUE": name}
            keys = {"SECRET_ID": ROOT.secret_id, "SECRET_KEY": ROOT.secret_key}
            async with consumer(tmp_path, "from cmq.account", **environment, **keys) as said:
                if not early:
                    await asyncio.sleep(1)
                    await tell(sender, name)
                assert await asyncio.wait_for(said.readline(), 60) == b"j1 Failed\n"
