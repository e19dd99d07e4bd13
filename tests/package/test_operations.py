"""Processing as both formats write it, compared with bioimageio.core's meaning of it."""

import numpy as np
import pytest

from carezoo.errors import ManifestError, UnsupportedError
from carezoo.intensity import (
    Affine,
    Binarize,
    Cast,
    Clip,
    MatchMoments,
    ScaleRange,
    Sigmoid,
    Softmax,
    Standardize,
    measure,
)
from carezoo.package import operations
from carezoo.package.document import Entry
from carezoo.package.operations import OperationContext

INPUT = OperationContext("BCYX", 2, "raw", is_input=True)
OUTPUT = OperationContext("BCYX", 2, "raw", is_input=False)


def read(step, subject=INPUT, key="id"):
    return operations.read(Entry([step], "steps"), subject, name_key=key)


def one(name, subject=INPUT, key="id", **kwargs):
    reading = read({key: name, "kwargs": kwargs}, subject, key)
    assert len(reading.operations) == 1
    return reading.operations[0]


def test_operations_of_format_05():
    eps = 1e-6
    assert one("ensure_dtype", dtype="float32") == Cast("float32")
    assert one("scale_linear", gain=2.0, offset=1) == Affine((2.0,), (1.0,))
    assert one("scale_linear", axis="channel", gain=[2, 3], offset=[0, 1]) == Affine((2.0, 3.0), (0.0, 1.0))
    assert one("fixed_zero_mean_unit_variance", mean=3.0, std=2.0) == Affine((1 / (2 + eps),), (-3 / (2 + eps),))
    assert one("zero_mean_unit_variance", axes=["y", "x"]) == Standardize(eps, is_per_channel=True)
    assert one("zero_mean_unit_variance", axes=["channel", "y", "x"], eps=1e-3) == Standardize(
        1e-3, is_per_channel=False
    )
    assert one("scale_range", axes=["y", "x"], min_percentile=2, max_percentile=99.8) == ScaleRange(
        2.0, 99.8, eps, True
    )
    assert one("scale_range", axes=["channel", "y", "x"]) == ScaleRange(0.0, 100.0, eps, False)
    assert one("scale_range", axes=["y", "x"], reference_tensor="raw") == ScaleRange(0.0, 100.0, eps, True)
    assert one("clip", min=0.0) == Clip(low=0.0)
    assert one("clip", min_percentile=1, max=2.5, axes=["y", "x"]) == Clip(None, 2.5, 1.0, None, True)
    assert one("binarize", axis="channel", threshold=[0.5, 0.7]) == Binarize((0.5, 0.7))
    assert one("sigmoid") == Sigmoid()
    assert one("softmax", axis="channel") == Softmax()
    assert one("scale_mean_variance", OUTPUT, reference_tensor="raw", axes=["y", "x"]) == MatchMoments(eps, True)


def test_operations_of_format_04():
    assert one("zero_mean_unit_variance", key="name", mode="fixed", axes="yx", mean=[1, 2], std=[3, 4]) == Affine(
        (1 / (3 + 1e-6), 1 / (4 + 1e-6)), (-1 / (3 + 1e-6), -2 / (4 + 1e-6))
    )
    assert one("zero_mean_unit_variance", key="name", axes="yx", mean=5, std=2).gain == (1 / (2 + 1e-6),)
    assert one("zero_mean_unit_variance", key="name", mode="per_sample", axes="xy") == Standardize(1e-6, True)
    assert one("zero_mean_unit_variance", key="name", mode="per_sample", axes="cyx") == Standardize(1e-6, False)
    assert one("scale_range", key="name", mode="per_sample", axes="yx", min_percentile=1) == ScaleRange(1.0, 100.0)
    assert one("scale_linear", key="name", axes="yx", gain=[1.0, 2.0], offset=0.0) == Affine((1.0, 2.0), (0.0,))


def test_numbers_in_yaml_1_2_notation_are_numbers():
    assert one("scale_range", axes=["y", "x"], eps="1e-6") == ScaleRange(0.0, 100.0, 1e-6, True)


@pytest.mark.parametrize(
    "step",
    [
        {"id": "scale_range", "kwargs": {}},
        {"id": "zero_mean_unit_variance"},
        {"id": "scale_range", "kwargs": {"axes": ["batch", "y", "x"]}},
        {"id": "scale_range", "kwargs": {"axes": "yx", "mode": "per_dataset"}},
    ],
)
def test_statistics_of_the_data_set_are_taken_from_the_image_and_remarked(step):
    reading = read(step)
    assert "statistics of the data set" in reading.remarks[0]
    assert len(reading.operations) == 1


def test_one_channel_makes_per_channel_and_jointly_the_same():
    alone = OperationContext("BCYX", 1, "raw", is_input=True)
    assert one("scale_range", alone, axes=["channel", "y", "x"]) == one("scale_range", alone, axes=["y", "x"])


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        ({"id": "custom", "callable": "f"}, "never runs code"),
        ({"id": "stardist_postprocessing"}, "is a program"),
        ({"id": "cellpose_flow_dynamics"}, "is a program"),
        ({"id": "median_filter"}, "unknown operation 'median_filter'"),
        ({"id": "scale_range", "kwargs": {"axes": ["x"]}}, "every position along y"),
        ({"id": "scale_linear", "kwargs": {"axis": "y", "gain": [1, 2]}}, "along axis y"),
        ({"id": "softmax", "kwargs": {"axis": "x"}}, "along axis x"),
        ({"id": "scale_range", "kwargs": {"axes": ["rho", "x"]}}, "axis 'rho'"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(step, cause):
    with pytest.raises(UnsupportedError, match=cause):
        read(step)


def test_a_second_normalization_of_the_output_by_the_input_is_refused():
    with pytest.raises(UnsupportedError, match="normalizes it a second time"):
        one("scale_range", OUTPUT, axes=["y", "x"], reference_tensor="raw")


@pytest.mark.parametrize(
    ("step", "where"),
    [
        ({"kwargs": {}}, r"steps\[0\]: key 'id' is missing"),
        ({"id": "ensure_dtype", "kwargs": {}}, r"steps\[0\]\.kwargs: key 'dtype' is missing"),
        ({"id": "ensure_dtype", "kwargs": {"dtype": "complex64"}}, r"kwargs\.dtype: expected one of"),
        ({"id": "scale_linear", "kwargs": {"gain": "much"}}, r"kwargs\.gain: expected a number, found 'much'"),
        ({"id": "scale_linear", "kwargs": {"gain": [1, 2, 3]}}, r"kwargs\.gain: 3 numbers for 2 channel"),
        ({"id": "scale_linear", "kwargs": {"gain": 0}}, r"kwargs\.gain: expected numbers other than 0"),
        (
            {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 0, "std": 0}},
            r"kwargs\.std: expected numbers above",
        ),
        ({"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 0}}, r"key 'std' is missing; found mean"),
        ({"id": "scale_range", "kwargs": {"min_percentile": 50, "max_percentile": 20}}, "not below"),
        ({"id": "scale_range", "kwargs": {"max_percentile": 120}}, "between 0 and 100"),
        ({"id": "scale_range", "kwargs": {"eps": 2}}, r"kwargs\.eps: expected a number above 0"),
        ({"id": "scale_range", "kwargs": {"reference_tensor": "other"}}, "no input tensor 'other'; found raw"),
        ({"id": "zero_mean_unit_variance", "kwargs": {"mode": "sometimes"}}, r"kwargs\.mode: expected per_sample"),
        ({"id": "clip", "kwargs": {}}, "clip needs min"),
        ({"id": "clip", "kwargs": {"min": 0, "min_percentile": 1}}, "both min and min_percentile"),
        ({"id": "scale_mean_variance", "kwargs": {"reference_tensor": "raw"}}, "operation for outputs"),
        ({"id": "binarize", "kwargs": {"threshold": []}}, "at least one number"),
        ("scale_range", r"steps\[0\]: expected a mapping"),
        ({"id": "scale_linear", "kwargs": {"gain": float("nan")}}, "a finite number"),
        ({"id": "scale_linear", "kwargs": {"gain": True}}, "a number, found True"),
    ],
)
def test_errors_name_the_path_to_the_key(step, where):
    with pytest.raises(ManifestError, match=where):
        read(step)


def test_fixed_constants_invert_exactly():
    operation = one("fixed_zero_mean_unit_variance", axis="channel", mean=[100, 7], std=[40, 0.5])
    normalization = measure([operation], [tuple, tuple])
    raw = np.random.default_rng(0).normal(50, 20, (2, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(normalization.undo(normalization.apply(raw), (0, 1), is_scale=False), raw, rtol=1e-5)
