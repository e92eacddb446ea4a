"""Panels whose buttons are pressed from a loop like the kernel's: running it, waiting in it, reading what a panel says."""

import asyncio
import re
import time
from html import unescape

from patience import PATIENCE


def words(html):
    return unescape(re.sub(r"<[^>]+>", "", html.value))


def in_a_loop(action):
    """Run a coroutine; afterwards no task may be left."""

    async def run():
        await action()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


async def until(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
