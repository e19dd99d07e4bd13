"""Which ONNX Runtime provider runs a network, decided as data so that it can be tested without the hardware."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from carezoo.errors import InputError, MissingExtraError, ProviderError
from carezoo.settings import Precision, Provider

Asked = Provider | Literal["auto"]

NAMES: Mapping[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""carezoo's word and ONNX Runtime's name of each provider."""

LIBRARIES: Mapping[Provider, str] = {"cuda": "onnxruntime_providers_cuda", "tensorrt": "onnxruntime_providers_tensorrt"}


@dataclass(frozen=True)
class Choice:
    """What will run, and what to say about it."""

    provider: Provider
    precision: Precision
    dtype: str
    """Numbers of the convolutions: float32, bfloat16 or float16."""
    reason: str
    """Why this one, in words."""
    warning: str = ""
    """Not empty where something other than asked for was taken."""


def onnxruntime() -> Any:
    """Import ONNX Runtime.

    Raises
    ------
    MissingExtraError
        With the pip line, if neither wheel is installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingExtraError(
            'ONNX Runtime is needed to run models and is not installed. Run: pip install "carezoo[cpu]" '
            '(or "carezoo[gpu]" on a machine with an NVIDIA GPU; never both)'
        ) from error
    return ort


def problems() -> dict[Provider, str]:
    """Return for each provider what keeps it from loading on this machine; an empty string: it loads."""
    ort = onnxruntime()
    offered = ort.get_available_providers()
    found: dict[Provider, str] = {"cpu": "", "openvino": _openvino_problem(ort)}
    for provider in LIBRARIES:
        if NAMES[provider] in offered:
            found[provider] = _library_problem(ort, provider)
        else:
            found[provider] = (
                "this ONNX Runtime is built without it; on a machine with an NVIDIA GPU run: "
                'pip uninstall onnxruntime && pip install "carezoo[gpu]"'
            )
    return found


def choose(
    provider: Asked, precision: Precision, problem_of: Mapping[Provider, str], *, has_bfloat16: bool | None
) -> Choice:
    """Decide which provider runs at which precision.

    Parameters
    ----------
    provider
        One of cpu, openvino, cuda, tensorrt, or auto.
    precision
        exact: float32 everywhere. fast: the provider's half precision.
    problem_of
        As returned by `problems`.
    has_bfloat16
        Whether the processor has bfloat16 arithmetic; None if unknown.

    Raises
    ------
    InputError
        If there is no such precision.
    ProviderError
        If a provider was asked for by name and does not load, or does not exist.
    """
    if precision not in ("exact", "fast"):
        raise InputError(f"unknown precision {precision!r}; expected exact or fast")
    if provider != "auto":
        if provider not in NAMES:
            raise ProviderError(f"unknown provider {provider!r}; expected auto, {', '.join(NAMES)}")
        if problem_of[provider]:
            raise ProviderError(f"provider {provider} does not load: {problem_of[provider]}")
        return _at_precision(provider, precision, "asked for", has_bfloat16)
    if not problem_of["cuda"]:
        return _at_precision("cuda", precision, "a CUDA device is there", has_bfloat16)
    if precision == "fast" and not problem_of["openvino"]:
        return _at_precision("openvino", precision, "no CUDA device; OpenVINO has a fast mode", has_bfloat16)
    return _at_precision("cpu", precision, "no CUDA device", has_bfloat16)


def _at_precision(provider: Provider, precision: Precision, reason: str, has_bfloat16: bool | None) -> Choice:
    if precision == "exact":
        return Choice(provider, "exact", "float32", reason)
    if provider in {"cuda", "tensorrt"}:
        return Choice(provider, "fast", "float16", reason)
    if provider == "openvino" and has_bfloat16 is not False:
        return Choice("openvino", "fast", "bfloat16", reason)
    why = (
        "this processor has no bfloat16 arithmetic (AMX or AVX512-BF16)"
        if has_bfloat16 is False
        else 'the CPU provider has no fast mode; run: pip install "carezoo[openvino]"'
    )
    warning = f"fast precision was asked for, but {why}: the exact mode (float32) runs instead"
    return Choice(provider, "exact", "float32", reason, warning)


def openvino_devices(ort: Any) -> list[Any]:
    """Return the devices of the OpenVINO plug-in provider, loading the plug-in if it is installed."""
    try:
        import onnxruntime_ep_openvino as plugin
    except ImportError:
        return []
    devices = _devices_of(ort, NAMES["openvino"])
    if not devices and plugin.get_library_path() not in _loaded:
        ort.register_execution_provider_library(NAMES["openvino"], plugin.get_library_path())
        _loaded.add(plugin.get_library_path())
        devices = _devices_of(ort, NAMES["openvino"])
    return devices


_loaded: set[str] = set()  # a plug-in may be registered once in a process


def _devices_of(ort: Any, name: str) -> list[Any]:
    return [device for device in ort.get_ep_devices() if device.ep_name == name]


def _openvino_problem(ort: Any) -> str:
    try:
        import onnxruntime_ep_openvino  # noqa: F401 - only whether it is there
    except ImportError:
        return 'onnxruntime-ep-openvino is not installed; run: pip install "carezoo[openvino]"'
    if not hasattr(ort, "register_execution_provider_library"):
        return f"ONNX Runtime {ort.__version__} is too old for plug-in providers; run: pip install -U onnxruntime"
    try:
        devices = openvino_devices(ort)
    except Exception as error:  # a plug-in may fail in any way; the text is what the user needs
        return f"its library does not load: {error}"
    return "" if devices else "its plug-in offers no device for this processor (it serves Intel hardware)"


def _library_problem(ort: Any, provider: Provider) -> str:
    """Load the provider's library as ONNX Runtime will; the loader's message names what is missing."""
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    folder = Path(ort.__file__).parent / "capi"
    for stem in ("onnxruntime_providers_shared", LIBRARIES[provider]):
        for path in (folder / f"lib{stem}.so", folder / f"{stem}.dll"):
            if not path.exists():
                continue
            try:
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                return f'a library is missing: {error}. Run: pip install "carezoo[gpu]", and check the GPU driver'
    return ""


def choose_for_machine(provider: Asked, precision: Precision) -> Choice:
    """Decide for this machine (see `choose`)."""
    return choose(provider, precision, problems(), has_bfloat16=has_bfloat16())


def processor_flags() -> frozenset[str]:
    """Return the feature flags of the first processor (Linux; empty elsewhere)."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return frozenset()
    for line in path.read_text(encoding="utf8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def has_bfloat16() -> bool | None:
    """Return whether the processor multiplies bfloat16 numbers in hardware; None where nobody says."""
    known = processor_flags()
    if not known:
        return None
    return bool(known & {"amx_bf16", "avx512_bf16", "bf16"})


def describe_processor() -> str:
    """Return one line: architecture, cores, and the features that matter for speed."""
    telling = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "asimd", "bf16")
    found = [name for name in telling if name in processor_flags()]
    return f"{platform.machine()}, {n_cores()} cores" + (f", {' '.join(found)}" if found else "")


def n_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_bytes() -> int:
    """Return memory that can be had without swapping."""
    return int(psutil.virtual_memory().available)
