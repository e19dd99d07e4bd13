"""What a command asks: fields that a person fills in, a macro gives as options, and the Recorder writes down."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from carezoo.errors import Cancelled, InputError
from carezoo.settings import OFFERED, Setting
from carezoo_fiji.java import implements, load

ON_ERROR = "on_error"
"""Option of every command: ``on_error=continue`` lets a macro go on after an error and look at the verdict."""

_OPTION = re.compile(r"(\w+)(?:=(?:\[([^\]]*)\]|(\S*)))?")


@dataclass(frozen=True)
class Field:
    """One thing to be asked."""

    key: str
    """Name in macros; in dialogs with a capital letter and blanks for underscores."""
    kind: Literal["choice", "text", "flag", "file", "folder"]
    default: str | bool = ""
    choices: tuple[str, ...] = ()
    is_open: bool = False
    """For a choice: macros may give what is not in the list."""
    unit: str = ""
    """What the dialog says after the name."""

    @property
    def label(self) -> str:
        """What the dialog shows; ImageJ makes the key in macros of what stands before the first blank."""
        return f"{self.key[0].upper()}{self.key[1:]} {self.unit}".rstrip()


Values = dict[str, Any]
"""What was answered, by key: text, or True and False for flags."""


def settings_fields() -> list[Field]:
    """Return a field for every restore setting; untouched they are carezoo's defaults."""
    return [_field(row) for row in OFFERED]


def _field(row: Setting) -> Field:
    unit = row.label[len(row.name) :].strip()  # "Average frames" is average in macros
    if row.is_flag:
        return Field(row.name, "flag", row.default, unit=unit)
    return Field(row.name, "choice" if row.choices else "text", row.title, row.titles, unit=unit)


def parse(options: str) -> dict[str, str | bool]:
    """Return the options of a macro call, ``key=value key=[a value with blanks] flag``, by key."""
    found: dict[str, str | bool] = {}
    for match in _OPTION.finditer(options):
        key, bracketed, plain = match.groups()
        value = bracketed if bracketed is not None else plain
        found[key.lower()] = True if value is None else value
    return found


def answer_from_options(command: str, fields: Sequence[Field], options: str) -> Values:
    """Return what a macro's options answer; what they leave out is as in a dialog nobody touched.

    An option that is unknown, or has a value that cannot be chosen, is an `InputError`.
    """
    given = parse(options)
    given.pop(ON_ERROR, None)
    known = {field.key: field for field in fields}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"{command}: unknown option {', '.join(unknown)}; there are {', '.join(known)}")
    return {
        key: _check(command, field, given[key]) if key in given else _default_value(field, bool(given))
        for key, field in known.items()
    }


def _default_value(field: Field, is_answered: bool) -> str | bool:
    """A flag that a macro does not name is not set; this is how ImageJ's own commands are recorded."""
    return False if field.kind == "flag" and is_answered else field.default


def _check(command: str, field: Field, value: str | bool) -> str | bool:
    if field.kind == "flag":
        return value if isinstance(value, bool) else value.lower() in {"true", "1", "yes"}
    if isinstance(value, bool):
        raise InputError(f"{command}: option {field.key} needs a value: {field.key}=...")
    if field.kind == "choice" and not field.is_open and value not in field.choices:
        raise InputError(f"{command}: {field.key}={value}: expected {', '.join(field.choices)}")
    return value


@dataclass(frozen=True)
class Button:
    """A button of a dialog, for something that happens while the dialog stays open."""

    label: str
    press: Callable[[Values], None]
    """Called on ImageJ's event thread with what the dialog says now: must return at once."""


def ask(
    title: str, fields: Sequence[Field], *, message: str = "", help_url: str = "", button: Button | None = None
) -> Values:
    """Show a dialog and return what was answered. Other windows can be used meanwhile.

    A dialog that is closed or cancelled raises `Cancelled`.
    """
    dialog = load("ij.gui.NonBlockingGenericDialog")(title)
    if message:
        dialog.addMessage(message)
    for field in fields:
        _ADD[field.kind](dialog, field)
    if button is not None:
        listener = implements(
            "java.awt.event.ActionListener", actionPerformed=lambda _: button.press(_read_open_dialog(dialog, fields))
        )
        dialog.addButton(button.label, listener)
    if help_url:
        dialog.addHelp(help_url)
    dialog.showDialog()
    if dialog.wasCanceled():
        load("ij.plugin.frame.Recorder").disableCommandRecording()
        raise Cancelled(f"{title}: cancelled")
    return {field.key: _READ[field.kind](dialog) for field in fields}


_ADD: Mapping[str, Callable[[Any, Field], None]] = {
    "choice": lambda dialog, field: dialog.addChoice(field.label, list(field.choices), str(field.default)),
    "text": lambda dialog, field: dialog.addStringField(field.label, str(field.default), 20),
    "flag": lambda dialog, field: dialog.addCheckbox(field.label, bool(field.default)),
    "file": lambda dialog, field: dialog.addFileField(field.label, str(field.default), 30),
    "folder": lambda dialog, field: dialog.addDirectoryField(field.label, str(field.default), 30),
}
_READ: Mapping[str, Callable[[Any], str | bool]] = {
    "choice": lambda dialog: str(dialog.getNextChoice()),
    "text": lambda dialog: str(dialog.getNextString()),
    "flag": lambda dialog: bool(dialog.getNextBoolean()),
    "file": lambda dialog: str(dialog.getNextString()),
    "folder": lambda dialog: str(dialog.getNextString()),
}


def _read_open_dialog(dialog: Any, fields: Sequence[Field]) -> Values:
    """Return what the fields of an open dialog say now, without reading it as ImageJ does, which would record it."""
    widgets = {
        "choice": iter(list(dialog.getChoices() or [])),
        "flag": iter(list(dialog.getCheckboxes() or [])),
        "text": iter(list(dialog.getStringFields() or [])),
    }
    values: Values = {}
    for field in fields:
        widget = next(widgets[field.kind if field.kind in widgets else "text"])
        if field.kind == "choice":
            values[field.key] = str(widget.getSelectedItem())
        else:
            values[field.key] = bool(widget.getState()) if field.kind == "flag" else str(widget.getText())
    return values
