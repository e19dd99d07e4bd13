"""The door to ONNX Runtime: what it says of graphs and failures, and what precisions really compute."""

import numpy as np
import packages
import pytest

from carezoo.errors import ManifestError, OutOfMemoryError, ProviderError, RestoreError
from carezoo.runtime import providers
from carezoo.runtime import providers as providers_
from carezoo.runtime.session import Session, _in_float16

WEIGHTS = packages.denoise_2d().files["weights.onnx"]
X = np.random.default_rng(0).random((1, 1, 64, 48), dtype=np.float32)


@pytest.fixture(scope="module")
def exact():
    return Session(WEIGHTS, provider="cpu").run(X)[0]


def test_ports_and_provider():
    session = Session(WEIGHTS, provider="cpu", n_threads=1)
    assert [port.name for port in session.inputs] == ["source"]
    assert (session.provider, session.precision) == ("cpu", "exact")


def test_failures_are_told_apart():
    with pytest.raises(ManifestError, match="cannot load the graph"):
        Session(b"not a graph", provider="cpu")
    session = Session(WEIGHTS, provider="cpu")
    with pytest.raises(RestoreError, match=r"failed on an input of shape \(1, 2, 4, 4\)"):
        session.run(np.zeros((1, 2, 4, 4), np.float32))


def test_memory_failures_are_recognised(monkeypatch):
    session = Session(WEIGHTS, provider="cpu")

    class Full:
        def run(self, *_):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 68719476736")

    monkeypatch.setattr(session, "_session", Full())
    with pytest.raises(OutOfMemoryError, match="no memory for an input of shape"):
        session.run(X)


def test_half_precision_graphs_for_cuda_compute_nearly_the_same(exact):
    """The conversion that `fast` on CUDA uses, run by the CPU provider: float32 in and out, float16 inside."""
    half = Session(_in_float16(WEIGHTS), provider="cpu").run(X)[0]
    assert half.dtype == np.float32
    assert 0 < np.abs(half - exact).max() < 0.02 * np.ptp(exact)


def _openvino(precision):
    problem = providers.problems()["openvino"]
    if problem:
        pytest.skip(f"OpenVINO: {problem}")
    return Session(WEIGHTS, provider="openvino", precision=precision)


def test_openvino_exact_is_float32(exact):
    """On processors with AMX OpenVINO would compute in bfloat16 unless it is told otherwise."""
    np.testing.assert_allclose(_openvino("exact").run(X)[0], exact, atol=1e-5)


def test_openvino_fast_is_bfloat16_where_the_processor_has_it(exact):
    session = _openvino("fast")
    if not providers_.has_bfloat16():
        assert session.precision == "exact"
        return
    assert 1e-5 < np.abs(session.run(X)[0] - exact).max() < 0.05 * np.ptp(exact)


@pytest.mark.gpu
def test_cuda_exact_is_float32(exact):
    problem = providers.problems()["cuda"]
    if problem:
        pytest.skip(f"CUDA: {problem}")
    try:
        session = Session(WEIGHTS, provider="cuda")
    except ProviderError as error:
        pytest.skip(f"CUDA: {error}")
    np.testing.assert_allclose(session.run(X)[0], exact, atol=1e-5)
