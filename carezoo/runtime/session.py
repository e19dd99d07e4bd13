"""The one door to ONNX Runtime: a network that can be run, and what it really runs on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import ManifestError, MissingExtraError, OutOfMemoryError, ProviderError, RestoreError
from carezoo.runtime import providers
from carezoo.runtime.providers import Choice
from carezoo.settings import Precision


@dataclass(frozen=True)
class Port:
    """One input or output of a graph."""

    name: str
    shape: tuple[int | str | None, ...]
    dtype: str


class Session:
    """A graph loaded into ONNX Runtime.

    Parameters
    ----------
    weights
        The ONNX file.
    external_data
        Further files with the graph's numbers, by the name the graph knows them by.
    provider, precision
        See `providers.choose`.
    n_threads
        Processor threads; None: ONNX Runtime decides (all cores).

    Raises
    ------
    ProviderError
        If the provider was asked for by name and does not load.
    ManifestError
        If ONNX Runtime cannot read the graph.
    """

    def __init__(
        self,
        weights: bytes,
        *,
        external_data: Mapping[str, bytes] | None = None,
        provider: providers.Asked = "auto",
        precision: Precision = "exact",
        n_threads: int | None = None,
    ) -> None:
        self._ort = providers.onnxruntime()
        self.choice: Choice = providers.choose_for_machine(provider, precision)
        if self.choice.dtype == "float16" and self.choice.provider == "cuda":
            weights = _in_float16(weights)
        options = self._options(external_data or {}, n_threads)
        self._session = self._load(weights, options)
        self.inputs = tuple(Port(port.name, tuple(port.shape), port.type) for port in self._session.get_inputs())
        self.outputs = tuple(Port(port.name, tuple(port.shape), port.type) for port in self._session.get_outputs())

    @property
    def provider(self) -> str:
        """The provider that really runs: cpu, openvino, cuda or tensorrt."""
        return self.choice.provider

    @property
    def precision(self) -> Precision:
        """The precision that really runs: exact or fast."""
        return self.choice.precision

    def run(self, x: NDArray[np.generic], outputs: Sequence[str] | None = None) -> list[NDArray[np.generic]]:
        """Run the graph on one input tensor.

        Parameters
        ----------
        x
            In the layout and type of the graph's input.
        outputs
            Names of the outputs to return; None: all.

        Raises
        ------
        OutOfMemoryError
            If the provider could not get the memory it needed.
        RestoreError
            If the graph fails in any other way.
        """
        names = list(outputs) if outputs is not None else [port.name for port in self.outputs]
        try:
            if self.provider in {"cuda", "tensorrt"}:
                return self._run_on_device(x, names)
            return list(self._session.run(names, {self.inputs[0].name: x}))
        except MemoryError as error:
            raise OutOfMemoryError(f"{self.provider}: no memory for an input of shape {x.shape}") from error
        except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
            if _is_memory_failure(str(error)):
                raise OutOfMemoryError(f"{self.provider}: no memory for an input of shape {x.shape}") from error
            raise RestoreError(f"the network failed on an input of shape {x.shape}: {_first_line(error)}") from error

    def _run_on_device(self, x: NDArray[np.generic], names: Sequence[str]) -> list[NDArray[np.generic]]:
        """Run with input and outputs bound on the device, so that nothing is copied twice."""
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self.inputs[0].name, self._ort.OrtValue.ortvalue_from_numpy(x, "cuda", 0))
        for name in names:
            binding.bind_output(name, "cuda", 0)
        self._session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

    def _options(self, external_data: Mapping[str, bytes], n_threads: int | None) -> Any:
        options = self._ort.SessionOptions()
        options.log_severity_level = 4  # our own exceptions report errors
        if n_threads is not None:
            options.intra_op_num_threads = n_threads
        if external_data:
            names, blobs = list(external_data), list(external_data.values())
            options.add_external_initializers_from_files_in_memory(names, blobs, [len(blob) for blob in blobs])
        return options

    def _load(self, weights: bytes, options: Any) -> Any:
        provider = self.choice.provider
        try:
            if provider == "openvino":
                device = _prefer_processor(providers.openvino_devices(self._ort))
                options.add_provider_for_devices([device], openvino_options(self.choice))
                session = self._ort.InferenceSession(weights, sess_options=options)
            else:
                session = self._ort.InferenceSession(weights, options, providers=provider_options(self.choice))
        except Exception as error:
            if provider == "cpu":
                raise ManifestError(f"ONNX Runtime cannot load the graph: {_first_line(error)}") from error
            raise ProviderError(f"provider {provider} does not load the graph: {_first_line(error)}") from error
        # ONNX Runtime falls back to the CPU without an error when a GPU provider does not start.
        if providers.NAMES[provider] not in session.get_providers():
            raise ProviderError(
                f"provider {provider} was asked for, but ONNX Runtime started {', '.join(session.get_providers())}. "
                "Is there a device, and does its driver fit? Run: carezoo doctor"
            )
        return session


def provider_options(choice: Choice) -> list[Any]:
    """Return ONNX Runtime's provider list for a choice other than OpenVINO."""
    cpu = providers.NAMES["cpu"]
    if choice.provider == "cuda":
        cuda = {
            # TF32 keeps 10 bits of the mantissa: not what exact promises.
            "use_tf32": "0" if choice.precision == "exact" else "1",
            # All tiles have one shape: an exhaustive search for the best convolution pays once.
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "cudnn_conv_use_max_workspace": "1",
            "arena_extend_strategy": "kSameAsRequested",
        }
        return [(providers.NAMES["cuda"], cuda), cpu]
    if choice.provider == "tensorrt":
        half = {"trt_fp16_enable": "True" if choice.precision == "fast" else "False"}
        return [(providers.NAMES["tensorrt"], half), (providers.NAMES["cuda"], {"use_tf32": "0"}), cpu]
    return [cpu]


def openvino_options(choice: Choice) -> dict[str, str]:
    """Return the options that fix OpenVINO's precision.

    On processors with AMX the provider computes in bfloat16 by default and ignores its own `precision` option; only
    the inference precision hint inside `load_config` counts.
    """
    hint = "bf16" if choice.precision == "fast" else "f32"
    return {"load_config": f'{{"CPU": {{"INFERENCE_PRECISION_HINT": "{hint}"}}}}'}


def _prefer_processor(devices: Sequence[Any]) -> Any:
    """Return the processor among OpenVINO's devices: the precision hint is set for it."""
    for device in devices:
        if "CPU" in str(device.device.type):
            return device
    return devices[0]


def _in_float16(weights: bytes) -> bytes:
    """Return the graph with half-precision arithmetic; inputs and outputs stay float32."""
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise MissingExtraError.of("onnx", "gpu", "for fast precision on CUDA") from error
    model = convert_float_to_float16(onnx.load_from_string(weights), keep_io_types=True)
    return bytes(model.SerializeToString())


def _is_memory_failure(message: str) -> bool:
    lowered = message.lower()
    return any(text in lowered for text in ("failed to allocate", "out of memory", "bad_alloc", "cudnn_status_alloc"))


def _first_line(error: Exception) -> str:
    with contextlib.suppress(IndexError):
        return str(error).strip().splitlines()[0]
    return type(error).__name__
