"""Which provider runs is a decision; it is tested without the hardware."""

import sys

import pytest

from carezoo.errors import InputError, MissingExtraError, ProviderError
from carezoo.runtime import providers
from carezoo.runtime.providers import Choice, choose
from carezoo.runtime.session import openvino_options, provider_options

NOTHING = {"cpu": "", "openvino": "no plug-in", "cuda": "no CUDA", "tensorrt": "no TensorRT"}
WITH_CUDA = {**NOTHING, "cuda": ""}
WITH_OPENVINO = {**NOTHING, "openvino": ""}


@pytest.mark.parametrize(
    ("asked", "precision", "problems", "has_bfloat16", "expected"),
    [
        ("auto", "exact", NOTHING, False, ("cpu", "exact", "float32")),
        ("auto", "exact", WITH_OPENVINO, True, ("cpu", "exact", "float32")),
        ("auto", "exact", WITH_CUDA, False, ("cuda", "exact", "float32")),
        ("auto", "fast", WITH_CUDA, False, ("cuda", "fast", "float16")),
        ("auto", "fast", WITH_OPENVINO, True, ("openvino", "fast", "bfloat16")),
        ("auto", "fast", WITH_OPENVINO, None, ("openvino", "fast", "bfloat16")),
        ("openvino", "exact", WITH_OPENVINO, True, ("openvino", "exact", "float32")),
        ("cpu", "exact", WITH_CUDA, True, ("cpu", "exact", "float32")),
    ],
)
def test_choices(asked, precision, problems, has_bfloat16, expected):
    choice = choose(asked, precision, problems, has_bfloat16=has_bfloat16)
    assert (choice.provider, choice.precision, choice.dtype) == expected
    assert choice.warning == ""


@pytest.mark.parametrize(
    ("asked", "problems", "has_bfloat16", "said"),
    [
        ("auto", WITH_OPENVINO, False, "no bfloat16 arithmetic"),
        ("openvino", WITH_OPENVINO, False, "no bfloat16 arithmetic"),
        ("auto", NOTHING, True, "the CPU provider has no fast mode"),
        ("cpu", WITH_OPENVINO, True, "the CPU provider has no fast mode"),
    ],
)
def test_fast_without_the_hardware_runs_exact_and_says_so(asked, problems, has_bfloat16, said):
    choice = choose(asked, "fast", problems, has_bfloat16=has_bfloat16)
    assert (choice.precision, choice.dtype) == ("exact", "float32")
    assert said in choice.warning


@pytest.mark.parametrize("asked", ["cuda", "tensorrt", "openvino"])
def test_a_provider_asked_for_by_name_is_never_replaced(asked):
    with pytest.raises(ProviderError, match=f"provider {asked} does not load: no "):
        choose(asked, "exact", NOTHING, has_bfloat16=True)


def test_unknown_providers_are_named():
    with pytest.raises(ProviderError, match="unknown provider 'gpu'"):
        choose("gpu", "exact", NOTHING, has_bfloat16=True)


def test_a_precision_that_is_none_is_not_taken_for_the_fast_one():
    with pytest.raises(InputError, match="unknown precision 'Exact'; expected exact or fast"):
        choose("auto", "Exact", WITH_CUDA, has_bfloat16=True)


def test_a_missing_onnxruntime_is_told_with_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r'pip install "carezoo\[cpu\]"'):
        providers.onnxruntime()


def test_exact_means_float32_on_every_provider():
    cuda = dict(provider_options(Choice("cuda", "exact", "float32", ""))[:1])
    assert cuda["CUDAExecutionProvider"]["use_tf32"] == "0"
    tensorrt = provider_options(Choice("tensorrt", "exact", "float32", ""))
    assert tensorrt[0][1]["trt_fp16_enable"] == "False"
    assert tensorrt[1][1]["use_tf32"] == "0"
    assert '"f32"' in openvino_options(Choice("openvino", "exact", "float32", ""))["load_config"]
    assert '"bf16"' in openvino_options(Choice("openvino", "fast", "bfloat16", ""))["load_config"]


def test_what_this_machine_says_is_consistent():
    problems = providers.problems()
    assert problems["cpu"] == ""
    assert set(problems) == set(providers.NAMES)
    for provider, problem in problems.items():
        if not problem:
            assert providers.choose_for_machine(provider, "exact").provider == provider
