"""Ends for loops that run until they are cancelled."""

import asyncio


def mind_cancelling() -> None:
    """End a task whose cancelling got lost; for loops that only a cancelling ends, before they wait again.

    In Python 3.11 ``asyncio.wait_for``, which the pool of connections uses, too, forgets a cancelling that comes at the
    same moment as what it waits for.

    Raises:
        CancelledError: someone wants this task to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
