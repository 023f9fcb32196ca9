"""A real browser for tests: headless Chromium, driven over its own protocol; its users skip where there is none."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.workshop import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1360,900",
    "--remote-debugging-port=0",
)


def chromium() -> str | None:
    """Where it is on this machine, if it is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One page; ``troubles`` is what went wrong in it: exceptions, refused loads, breaches of its policy."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.session: str | None = None
        self.troubles: list[str] = []

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Have the browser do something; give its answer."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        whose = {"sessionId": self.session} if self.session else {}
        await self._socket.send_json({"id": number, "method": method, "params": params, **whose})
        return await answer

    async def listen(self) -> None:
        """Hand answers to those who wait, until the socket closes."""
        async for frame in self._socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            told = json.loads(frame.data)
            if (answer := self._waiting.pop(told.get("id"), None)) and not answer.cancelled():
                answer.set_result(told.get("result") or {"error": told.get("error")})
            self._note(told.get("method"), told.get("params", {}))

    def _note(self, event: str | None, told: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.troubles.append(details.get("exception", {}).get("description") or details["text"])
        elif event == "Log.entryAdded" and (entry := told["entry"])["level"] == "error":
            late = "status of 503" in entry["text"]  # a busy machine's limiter: the page asks again
            self.troubles += [] if late else [f"{entry['text']} {entry.get('url', '')}"]

    async def value(self, script: str) -> Any:
        """Run a script in the page; give what it says, a promise's value where it is one."""
        told = await self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, (script, told["exceptionDetails"])
        return told.get("result", {}).get("value")  # none while the page is on its way to another

    async def until(self, script: str) -> None:
        """Wait until the script says something true."""
        try:
            await eventually(lambda: self.value(script))
        except TimeoutError:
            raise AssertionError(f"never true: {script}\n{self.troubles}\n{await self.text()}") from None

    async def shows(self, words: str) -> None:
        """Wait until these words can be read."""
        await self.until(f"document.body?.innerText.includes({json.dumps(words)})")

    async def text(self) -> str:
        """All that can be read."""
        return str(await self.value("document.body.innerText"))

    async def click(self, words: str) -> None:
        """Click the last button or link, the one on top, that is called so, once it is there and enabled."""
        name = json.dumps(words)
        ours = f"one => (one.textContent === {name} || one.ariaLabel === {name}) && !one.disabled"
        await self.until(f"!!(window.found = [...document.querySelectorAll('button, a')].filter({ours}).at(-1))")
        await self.value("window.found.click()")

    async def fill(self, selector: str, words: str) -> None:
        """Write into a field."""
        await self.until(f"!!(window.found = document.querySelector({json.dumps(selector)}))")
        await self.value(f"window.found.value = {json.dumps(words)}")

    async def press(self, key: str) -> None:
        """Press a key that writes one character."""
        await self.command("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.command("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def look(self, path: Path) -> None:
        """Keep a picture of it."""
        told = await self.command("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))


@asynccontextmanager
async def open_page(program: str, folder: Path) -> AsyncIterator[Page]:
    """Start a browser whose profile is this new folder, and open a page in it; it is gone afterwards."""
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # its sandbox is refused to root
    async with AsyncExitStack() as stack:
        process = await asyncio.create_subprocess_exec(
            program,
            *flags,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        stack.push_async_callback(_ended, process)
        listens = folder / "DevToolsActivePort"
        await eventually(lambda: asyncio.to_thread(_words, listens))
        port, path = _words(listens)
        http = await stack.enter_async_context(ClientSession())
        socket = await stack.enter_async_context(http.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0))
        page = Page(socket)
        listening = asyncio.create_task(page.listen())
        stack.push_async_callback(_stopped, listening)
        target = (await page.command("Target.createTarget", url="about:blank"))["targetId"]
        page.session = (await page.command("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await page.command(f"{domain}.enable")
        yield page


def _words(path: Path) -> list[str]:
    return words if path.exists() and len(words := path.read_text().split()) == 2 else []


async def _ended(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    await process.wait()


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
