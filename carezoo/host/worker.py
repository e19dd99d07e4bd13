"""The worker: carezoo as a process of its own that a host program (Fiji, KNIME, a script) asks for named verbs.

``python -m carezoo.host.worker`` reads requests from stdin and writes responses to stdout, one JSON object a line, in
the protocol of Appose (https://apposed.org), so that Appose's own clients can drive it. Where Appose would send a
script, one of `VERBS` is sent: no code is ever executed. `docs/worker.md` describes requests, responses and errors.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

import numpy as np  # on Windows it has to be imported before stdin is read

from carezoo.errors import Cancelled, CarezooError, InputError
from carezoo.host.models import LoadedModels, Problem, list_choices
from carezoo.host.shared import SharedArrays
from carezoo.image import Image, Metadata
from carezoo.package.info import describe, summary
from carezoo.registry.resolve import pull
from carezoo.settings import from_words
from carezoo.version import __version__

PROTOCOL = 1
"""Raised when a verb changes so that callers must."""

_UPDATE_S = 0.05
"""Shortest time between two reports of progress."""

Tell = Callable[[str, int, int], None]
"""Called with a message, and how much of how much is done."""


@dataclass
class WorkerTask:
    """One request under way."""

    id: str
    verb: str
    inputs: Mapping[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)


class Verbs:
    """The verbs: each takes inputs and returns outputs, both plain values for JSON."""

    def __init__(self) -> None:
        self._models = LoadedModels()
        self._arrays = SharedArrays()

    def describe(self, task: WorkerTask, tell: Tell) -> dict[str, Any]:
        """Tell what a model is; without one, what this worker is."""
        del tell
        if "model" not in task.inputs:
            return {"protocol": PROTOCOL, "carezoo": __version__, "verbs": sorted(VERBS)}
        package = self._models.get(_text(task, "model")).package
        return {"model": describe(package), "summary": summary(package)}

    def models(self, task: WorkerTask, tell: Tell) -> dict[str, Any]:
        """List the models that can be used here and now."""
        del task, tell
        return {"models": [asdict(choice) for choice in list_choices()]}

    def pull(self, task: WorkerTask, tell: Tell) -> dict[str, Any]:
        """Make sure that a model is on this computer, and load it."""
        path = pull(_text(task, "model"), progress=lambda done, total, what: tell(f"pulling {what}", done, total)).path
        return {"path": str(path), "model": describe(self._models.get(str(path)).package)}

    def restore(self, task: WorkerTask, tell: Tell) -> dict[str, Any]:
        """Restore an image that is given as a shared array or as the path of a file."""
        settings = from_words(task.inputs.get("options") or {})
        model = self._models.get(_text(task, "model"))
        with self._arrays.attach(task.inputs.get("image")) as pixels:
            source = _text(task, "path") if pixels is None else _image(task, pixels)
            restoration = model.restore(
                source,
                task.inputs.get("axes"),
                scene=task.inputs.get("scene"),
                settings=settings,
                progress=lambda done, total, _: tell(f"restoring with {model.manifest.reference}", done, total),
                cancelled=task.cancelled.is_set,
            )
        results = {}
        for name, image in restoration.images.items():
            results[name] = {
                "array": self._arrays.share(np.asarray(image.pixels)),
                "axes": image.axes,
                "pixel_size_um": dict(image.pixel_size_um),
                "origin_um": dict(image.metadata.origin_um),
            }
        return {"results": results, "report": restoration.report.to_dict()}

    def release(self, task: WorkerTask, tell: Tell) -> dict[str, Any]:
        """Free the shared arrays of earlier results."""
        del task, tell
        return {"n_released": self.close()}

    def close(self) -> int:
        """Free the shared arrays of all results, and return how many there were."""
        return self._arrays.release()


VERBS: dict[str, Callable[[Verbs, WorkerTask, Tell], dict[str, Any]]] = {
    verb.__name__: verb for verb in (Verbs.describe, Verbs.models, Verbs.pull, Verbs.restore, Verbs.release)
}
"""What can be asked for."""


def _text(task: WorkerTask, name: str) -> str:
    value = task.inputs.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"{task.verb}: expected a text {name!r}, found {value!r}")
    return value


def _image(task: WorkerTask, pixels: np.ndarray[Any, Any]) -> Image:
    return Image(
        pixels,
        _text(task, "axes"),
        {letter: float(size) for letter, size in (task.inputs.get("pixel_size_um") or {}).items()},
        Metadata(origin_um={k: float(v) for k, v in (task.inputs.get("origin_um") or {}).items()}),
        str(task.inputs.get("name") or "image"),
    )


class Worker:
    """Reads requests until stdin closes; one task after the other, while cancellations come through."""

    def __init__(self, requests: TextIO, responses: TextIO) -> None:
        self._requests, self._responses = requests, responses
        self._desk = Verbs()
        self._waiting: queue.SimpleQueue[WorkerTask | None] = queue.SimpleQueue()
        self._tasks: dict[str, WorkerTask] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Serve until the host closes our stdin and all tasks are done; shared arrays are freed then."""
        reader = threading.Thread(target=self._read, name="requests", daemon=True)
        reader.start()
        try:
            while (task := self._waiting.get()) is not None:
                self._work(task)
        finally:
            self._desk.close()

    def _read(self) -> None:
        try:
            for line in self._requests:
                try:
                    self._accept(line)
                except Exception as error:  # one bad line must not end the service of the others
                    print(f"unreadable request ({error}): {line[:200].rstrip()}", file=sys.stderr)  # noqa: T201
        finally:
            self._waiting.put(None)  # whatever ended the reading: a worker that waits for ever is never noticed

    def _accept(self, line: str) -> None:
        if not line.strip():
            return
        request = json.loads(line)
        identity, kind = str(request["task"]), request["requestType"]
        if kind == "CANCEL":
            if identity in self._tasks:
                self._tasks[identity].cancelled.set()
            return
        if kind != "EXECUTE":
            raise ValueError(f"request type {kind!r}; expected EXECUTE or CANCEL")
        task = WorkerTask(identity, str(request.get("script") or "").strip(), request.get("inputs") or {})
        self._tasks[identity] = task
        self._waiting.put(task)

    def _work(self, task: WorkerTask) -> None:
        self._respond(task, "LAUNCH")
        try:
            if task.verb not in VERBS:
                raise InputError(f"unknown verb {task.verb[:80]!r}; this worker knows {', '.join(sorted(VERBS))}")
            if task.cancelled.is_set():
                raise Cancelled("stopped before it began")
            outputs = VERBS[task.verb](self._desk, task, self._teller(task))
            self._respond(task, "COMPLETION", outputs=outputs)  # may fail too; then that is the answer
        except Cancelled:
            self._respond(task, "CANCELATION")
        except Exception as error:
            problem = Problem.from_error(error)
            if not isinstance(error, CarezooError):
                traceback.print_exc()
            text = f"{problem.type}: {problem.text}"
            self._respond(task, "FAILURE", error=text, info=asdict(problem))
        finally:
            self._tasks.pop(task.id, None)

    def _teller(self, task: WorkerTask) -> Tell:
        last = 0.0

        def tell(message: str, current: int, maximum: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _UPDATE_S or current == maximum:
                last = now
                self._respond(task, "UPDATE", message=message, current=current, maximum=maximum)

        return tell

    def _respond(self, task: WorkerTask, kind: str, **content: Any) -> None:
        # As text what JSON has no word for: a manifest may hold dates.
        line = json.dumps({"task": task.id, "responseType": kind, **content}, separators=(",", ":"), default=str)
        with self._lock:
            try:
                self._responses.write(line + "\n")
                self._responses.flush()
            except BrokenPipeError:
                for each in self._tasks.values():  # the host has gone; nobody is left to take results
                    each.cancelled.set()


def main() -> None:
    """Serve on stdin and stdout. What libraries print goes to stderr."""
    responses = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # A host that writes another encoding gets its answer for that line, and those of the other lines.
    sys.stdin.reconfigure(encoding="utf8", errors="replace")  # type: ignore[union-attr]
    Worker(sys.stdin, responses).run()


if __name__ == "__main__":
    main()
