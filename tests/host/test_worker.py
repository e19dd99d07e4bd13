"""Appose's own client drives the worker: verbs, shared memory, progress, cancelling, errors, a killed worker."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import packages
import pytest

import carezoo
from carezoo.host.worker import Worker
from carezoo.package.write import write_package

appose = pytest.importorskip("appose", reason='needs appose (pip install "carezoo[fiji]")')
from appose.service import Service, TaskException, TaskStatus  # noqa: E402

SHM = Path("/dev/shm")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("worker") / "ensemble.zip"
    write_package(packages.ensemble_2d(), path)
    return path


@pytest.fixture
def blocks():
    """Return what shared memory there is more than before; nothing may be left at the end."""
    before = set(SHM.iterdir()) if SHM.is_dir() else set()

    def more():
        return {path for path in SHM.iterdir() if not path.name.startswith("sem.")} - before if SHM.is_dir() else set()

    yield more
    assert more() == set()


@contextmanager
def hosted():
    started = Service(Path.cwd(), None, sys.executable, "-m", "carezoo.host.worker").start()
    yield started
    started.close()
    started.wait_for()
    for pipe in (started._process.stdout, started._process.stderr):  # Appose leaves them open
        pipe.close()


@pytest.fixture(scope="module")
def one_worker():
    with hosted() as service:
        yield service
    leaked = [line for line in service.error_lines() if "resource_tracker" in line]
    assert leaked == []  # it takes care of its own blocks, and of no others


@pytest.fixture
def service(one_worker, blocks):
    yield one_worker
    ask(one_worker, "release")


def ask(service, verb, **inputs):
    return service.task(verb, inputs).wait_for().outputs


def test_averages_of_frames(service, package):
    noisy = packages.picture((5, 40, 52))
    with appose.NDArray("uint16", list(noisy.shape)) as shared:
        shared.ndarray()[...] = noisy
        inputs = {"model": str(package), "image": shared, "axes": "TYX", "name": "cells"}
        outputs = ask(service, "restore", options={"average": 2}, **inputs)
        with pytest.raises(TaskException, match="InputError: average '0': expected how many frames"):
            ask(service, "restore", options={"average": "0"}, **inputs)
    expected = carezoo.load(package).restore(noisy, "TYX", average=2)
    np.testing.assert_array_equal(outputs["results"]["mean"]["array"].ndarray(), expected.mean)
    assert outputs["report"]["warnings"] == ["cells: its last 1 of 5 frames fill no average of 2"]


def test_restores_what_python_restores(service, package, blocks):
    noisy = packages.picture((3, 40, 52))
    with appose.NDArray("uint16", list(noisy.shape)) as shared:
        shared.ndarray()[...] = noisy
        inputs = {"image": shared, "axes": "TYX", "pixel_size_um": {"Y": 0.1, "X": 0.1}, "name": "cells"}
        outputs = ask(service, "restore", model=str(package), options={"tile": [32, 32]}, **inputs)
    expected = carezoo.load(package).restore(noisy, "TYX")
    assert outputs["results"].keys() == expected.images.keys() == {"mean", "scale", "disagreement"}
    for name, result in outputs["results"].items():
        assert result["axes"] == "TYX"
        assert result["pixel_size_um"] == {"Y": 0.1, "X": 0.1}
        np.testing.assert_array_equal(result["array"].ndarray(), expected.images[name].pixels)
    assert outputs["report"]["provenance"]["n_tiles"] > 1
    assert outputs["report"]["provenance"]["model"] == expected.report.provenance.model
    if SHM.is_dir():
        assert len(blocks()) == 3
    for result in outputs["results"].values():
        result["array"].shm.unlink_on_dispose(True)
        result["array"].shm.dispose()
    assert ask(service, "release") == {"n_released": 3}  # that the caller freed them already is no error


def test_restores_a_file(service, package, tmp_path):
    from carezoo.image import Image

    noisy = packages.picture((40, 52))
    carezoo.write_image(tmp_path / "cells.tif", Image(noisy, "YX", {"Y": 0.2, "X": 0.2}))
    outputs = ask(service, "restore", model=str(package), path=str(tmp_path / "cells.tif"))
    mean = outputs["results"]["mean"]["array"]
    np.testing.assert_array_equal(mean.ndarray(), carezoo.load(package).restore(noisy, "YX").mean)
    for result in outputs["results"].values():
        result["array"].shm.unlink_on_dispose(True)
        result["array"].shm.dispose()


def test_tells_what_it_is_and_what_models_are(service, package):
    itself = ask(service, "describe")
    assert itself["protocol"] == 1
    assert itself["verbs"] == ["describe", "models", "pull", "release", "restore"]
    assert ask(service, "describe", model=str(package))["model"]["members"] == 2
    models = ask(service, "models")["models"]
    shipped = next(model for model in models if model["name"] == "denoise-bpae-2d")
    assert (shipped["axes"], shipped["results"]) == ("YX", ["mean", "scale"])
    assert ask(service, "pull", model="denoise-bpae-2d")["model"]["id"] == "denoise-bpae-2d"


@pytest.mark.parametrize(
    ("verb", "inputs", "told"),
    [
        ("print('code')", {}, "InputError: unknown verb \"print('code')\"; this worker knows describe"),
        ("describe", {"model": "denoise-bpae-3d"}, "UnknownModelError: no model 'denoise-bpae-3d'"),
        ("restore", {"model": "denoise-bpae-2d", "path": "missing.tif"}, "missing.tif"),
        ("restore", {"model": "denoise-bpae-2d"}, "InputError: restore: expected a text 'path'"),
        (
            "restore",
            {"model": "denoise-bpae-2d", "options": {"tiles": 8}},
            "InputError: unknown setting tiles; did you mean tile?",
        ),
        ("restore", {"model": "denoise-bpae-2d", "image": {"dtype": "uint8"}}, "expected a shared array"),
    ],
)
def test_errors_are_type_message_and_hint(service, verb, inputs, told):
    events = []
    task = service.task(verb, inputs)
    task.listen(events.append)
    with pytest.raises(TaskException):
        task.wait_for()
    assert task.status is TaskStatus.FAILED
    assert told in task.error
    assert "Traceback" not in task.error
    info = events[-1].info
    assert task.error.startswith(info["type"] + ": " + info["message"])
    assert info.keys() == {"type", "message", "hint"}
    assert ask(service, "describe")["protocol"] == 1  # and it goes on working


def test_axes_that_do_not_fit_come_with_a_hint_for_the_host(service, package):
    with appose.NDArray("uint8", [40]) as line:
        line.ndarray()[...] = 1
        task = service.task("restore", {"model": str(package), "image": line, "axes": "X"})
        with pytest.raises(TaskException):
            task.wait_for()
    assert task.error.startswith("AxesError")
    assert "Image > Properties..." in task.error


def test_progress_is_told_and_cancelling_stops_between_tiles(service, package):
    noisy = np.tile(packages.picture((1, 40, 40)), (300, 1, 1))
    seen, events = threading.Event(), []

    def listen(event):
        events.append(event)
        if event.current:
            seen.set()

    with appose.NDArray("uint16", list(noisy.shape)) as shared:
        shared.ndarray()[...] = noisy
        inputs = {"image": shared, "axes": "TYX", "model": str(package), "options": {"tile": 32}}
        task = service.task("restore", inputs)
        task.listen(listen)
        task.start()
        assert seen.wait(300)
        task.cancel()
        with pytest.raises(TaskException):
            task.wait_for()
    assert task.status is TaskStatus.CANCELED
    told = [event for event in events if event.current is not None]
    assert 0 < told[-1].current < told[-1].maximum == noisy.size
    assert "restoring with" in told[0].message
    assert ask(service, "describe")["protocol"] == 1


def test_the_model_stays_loaded(service, package, tmp_path):
    """What is kept needs the package no more: it is spoiled behind the worker's back, with its date as before."""
    copy = tmp_path / "kept.zip"
    shutil.copy(package, copy)

    def restored():
        with appose.NDArray("uint16", [16, 16]) as shared:
            shared.ndarray()[...] = packages.picture((16, 16))
            results = ask(service, "restore", image=shared, axes="YX", model=str(copy))["results"]
            mean = results["mean"]["array"].ndarray().copy()
            for result in results.values():
                result["array"].shm.unlink_on_dispose(True)
                result["array"].shm.dispose()
        ask(service, "release")
        return mean

    first, date = restored(), copy.stat()
    copy.write_bytes(b"spoiled")
    os.utime(copy, ns=(date.st_atime_ns, date.st_mtime_ns))
    np.testing.assert_array_equal(restored(), first)
    os.utime(copy)  # now it counts as another package
    with pytest.raises(TaskException, match="is not a model package"):
        restored()


@pytest.fixture
def mortal(blocks):
    with hosted() as service:
        yield service


def test_a_killed_worker_is_a_crash_and_leaves_nothing(mortal, package):
    service = mortal
    with appose.NDArray("uint16", [64, 64]) as shared:
        shared.ndarray()[...] = packages.picture((64, 64))
        outputs = ask(service, "restore", image=shared, axes="YX", model=str(package))
        for result in outputs["results"].values():  # tell this process's tracker that they are not ours
            result["array"].shm.unlink_on_dispose(True)
        task = service.task("restore", {"image": shared, "axes": "YX", "model": str(package)})
        service.kill()
        with pytest.raises((TaskException, BrokenPipeError, ValueError)):
            task.wait_for()
    service.wait_for()
    for result in outputs["results"].values():
        try:
            result["array"].shm.dispose()
        except FileNotFoundError:  # the killed worker's tracker was faster
            from multiprocessing import resource_tracker

            resource_tracker.unregister(result["array"].shm._name, "shared_memory")
    assert not service.is_alive()


def test_speaks_plain_json_lines_and_ends_with_its_host(package, blocks, tmp_path):
    """No Appose at all: a request, rubbish, a request; prints of libraries stay out of stdout."""
    requests = [
        {"task": "1", "requestType": "EXECUTE", "script": "describe"},
        {"task": "2", "requestType": "EXECUTE", "script": "restore", "inputs": {"model": str(package)}},
        {"task": "9", "requestType": "CANCEL"},
    ]
    text = "\n".join([json.dumps(requests[0]), "rubbish", "", *map(json.dumps, requests[1:])])
    done = subprocess.run(
        [sys.executable, "-m", "carezoo.host.worker"], input=text, capture_output=True, text=True, timeout=300
    )
    responses = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [("1", "LAUNCH"), ("1", "COMPLETION"), ("2", "LAUNCH"), ("2", "FAILURE")]
    assert [(r["task"], r["responseType"]) for r in responses] == kinds
    assert "unreadable request" in done.stderr
    assert done.returncode == 0


def answers(requests):
    """Return what a worker of its own answers to bytes, and its stderr; it has to end with its input."""
    done = subprocess.run(
        [sys.executable, "-m", "carezoo.host.worker"], input=requests, capture_output=True, timeout=300
    )
    assert done.returncode == 0
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [response for response in found if response["responseType"] != "LAUNCH"], done.stderr.decode()


def test_bytes_that_are_no_utf8_cost_only_their_own_line(blocks):
    describe = b'{"task": "%s", "requestType": "EXECUTE", "script": "describe", "inputs": %s}'
    latin = describe % (b"2", b'{"model": "z\xfcrich.zip"}')
    found, log = answers(b"\n".join([describe % (b"1", b"{}"), b"\xff\xfe\x80", latin, describe % (b"3", b"{}")]))
    kinds = [("1", "COMPLETION"), ("2", "FAILURE"), ("3", "COMPLETION")]
    assert [(response["task"], response["responseType"]) for response in found] == kinds
    assert "z\ufffdrich.zip" in found[1]["error"]
    assert "unreadable request" in log


def test_reading_that_fails_ends_the_worker(monkeypatch):
    class Broken:
        def __iter__(self):
            raise OSError(5, "Input/output error")

    told = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: told.set())
    worker = threading.Thread(target=Worker(Broken(), io.StringIO()).run, daemon=True)
    worker.start()
    worker.join(300)
    assert not worker.is_alive()
    assert told.wait(300)


def test_whatever_a_manifest_holds_is_answered(package, tmp_path, blocks):
    """YAML has dates, which JSON has not, and keys that are dates, which cannot even be told as text."""
    requests = []
    for name, parent in (("dated", "2024-05-06"), ("keyed", "{2024-05-06: first}")):
        with zipfile.ZipFile(package) as old, zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as new:
            for entry in old.namelist():
                more = f"parent: {{id: other, version: {parent}}}\n".encode() if entry == "rdf.yaml" else b""
                new.writestr(entry, old.read(entry) + more)
        inputs = {"model": str(tmp_path / f"{name}.zip")}
        requests.append({"task": name, "requestType": "EXECUTE", "script": "describe", "inputs": inputs})
    (dated, keyed, last), _ = answers("\n".join(map(json.dumps, [*requests, {**requests[0], "task": "3"}])).encode())
    assert dated["outputs"]["model"]["parent"]["version"] == "2024-05-06"
    assert (keyed["task"], keyed["responseType"]) == ("keyed", "FAILURE")
    assert (last["task"], last["responseType"]) == ("3", "COMPLETION")


def test_stops_when_its_host_is_gone(package, tmp_path):
    from carezoo.image import Image

    carezoo.write_image(tmp_path / "long.tif", Image(np.tile(packages.picture((1, 64, 64)), (3000, 1, 1)), "TYX"))
    inputs = {"model": str(package), "path": str(tmp_path / "long.tif"), "options": {"tile": 20}}
    request = {"task": "1", "requestType": "EXECUTE", "script": "restore", "inputs": inputs}
    with subprocess.Popen(
        [sys.executable, "-m", "carezoo.host.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        worker.stdin.write(json.dumps(request) + "\n")
        worker.stdin.flush()
        while json.loads(worker.stdout.readline())["responseType"] != "UPDATE":
            pass
        worker.stdout.close()
        worker.stdin.close()
        assert worker.wait(timeout=60) == 0
