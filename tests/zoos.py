"""Zoos for tests: published without the checks, which cost seconds."""

import packages

from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.registry import folder as folder_


def add(folder, layout="unpacked", **changes):
    """Publish a tiny package without checking it, and return its entry."""
    return add_draft(folder, packages.denoise_2d(**changes), layout)


def add_draft(folder, draft, layout="unpacked"):
    path = write_package(draft, folder.parent / "made" / f"{draft.id}-{draft.version}.zip", overwrite=True)
    package, content = open_package(path), path.read_bytes()
    index = folder_.read_index(folder, layout)
    entry = folder_.entry_of(package, content, index.layout)
    folder_.place(folder, entry, content)
    if index.layout == "unpacked":
        folder_.unpack(folder, entry, package)
        folder_.unpack_newest(folder, entry, package)
    folder_.write_index(folder, index.with_version(entry))
    return entry
