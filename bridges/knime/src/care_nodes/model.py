"""The node CARE Model, and the port it has."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import knime.extension as knext

from care_nodes import CATEGORY
from care_nodes.table import progress_of, translate_errors
from carezoo_knime import models
from carezoo_knime.models import ChosenModel, ModelFields


class CareModelSpec(knext.PortObjectSpec):
    """What is known of a model before the node is executed: what was asked for."""

    def __init__(self, wanted: ModelFields) -> None:
        self.wanted = wanted

    def serialize(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self.wanted)

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> CareModelSpec:
        """Return the spec of these values."""
        return cls(ModelFields(**data))


class CareModel(knext.PortObject):
    """A model that lies on this computer."""

    def __init__(self, spec: CareModelSpec, chosen: ChosenModel) -> None:
        super().__init__(spec)
        self.chosen = chosen

    def serialize(self) -> bytes:
        """Return where the package is and what it is; not the package, which is found again by name."""
        return json.dumps(asdict(self.chosen)).encode()

    @classmethod
    def deserialize(cls, spec: CareModelSpec, storage: bytes) -> CareModel:
        """Return the model of these bytes."""
        return cls(spec, ChosenModel(**json.loads(storage)))


MODEL_PORT = knext.port_type("CARE model", CareModel, CareModelSpec, id="org.carezoo.model")


NONE = "<none>"
"""Chosen in the dialog until a model is: KNIME takes the first entry of a list by itself, and no model is a default."""


def _names(_: Any) -> list[knext.StringParameter.Choice]:
    """Return what the dialog offers; a zoo that cannot be reached offers nothing; executing the node reports it."""
    choice = knext.StringParameter.Choice
    return [choice(NONE, "choose a model"), *(choice(name, name) for name in models.names())]


def is_text(value: str) -> None:
    """Accept any text as a path: KNIME's own check refuses a workflow whose file has moved before it can be opened."""
    if not isinstance(value, str):
        raise TypeError(f"expected a path, found {value!r}")


@knext.node(
    name="CARE Model",
    node_type=knext.NodeType.SOURCE,
    icon_path="icons/model.png",
    category=CATEGORY,
    keywords=["denoise", "microscopy", "zoo", "bioimage.io", "ONNX", "CARE"],
)
@knext.output_port("Model", "The model, for *CARE Restore*.", MODEL_PORT)
class CareModelNode:
    """Chooses a CARE model from the zoo, or a package of your own.

    Models that ship with carezoo are there at once; others are downloaded when the node is executed, verified, and
    kept. *CARE Zoo* lists what there is and what each model was trained on. Take a model that was trained on images
    like yours: nothing else makes as much of a difference.

    The workflow remembers the exact package. If another one lies in its place later, *CARE Restore* says so and does
    not run it.
    """

    name = knext.StringParameter("Model", "Name of the model.", NONE, choices=_names)
    version = knext.StringParameter(
        "Version", "For example 1.0.0; results then stay the same for ever. Empty: the newest one.", ""
    )
    package = knext.LocalPathParameter(
        "Own package",
        "The zip (or the rdf.yaml in the folder) of a package in the format of bioimage.io with ONNX weights, from "
        "`carezoo train` or downloaded. It is used instead of the name above.",
        validator=is_text,
    )
    zoo = knext.StringParameter(
        "Zoo",
        "Address or folder of a zoo that is asked first. Empty: those of the environment variable CAREZOO_ZOO, and the "
        "models that ship with carezoo.",
        "",
        is_advanced=True,
    )

    def configure(self, context: knext.ConfigurationContext) -> CareModelSpec:
        """Return what is asked for."""
        with translate_errors(knext.InvalidParametersError):
            return CareModelSpec(self._read_fields())

    def execute(self, context: knext.ExecutionContext) -> CareModel:
        """Bring the model here."""
        with translate_errors():
            wanted = self._read_fields()
            return CareModel(CareModelSpec(wanted), models.choose(wanted, progress_of(context)))

    def _read_fields(self) -> ModelFields:
        name = "" if self.name == NONE else self.name
        return ModelFields.from_dialog(name=name, version=self.version, package=self.package, zoo=self.zoo)
