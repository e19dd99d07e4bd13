"""A zoo with a few tiny packages, a cache of its own, and a server."""

import shutil
from pathlib import Path

import packages
import pytest
import servers
from zoos import add, add_draft


@pytest.fixture
def env():
    """Environment variables for one test; undone before it is checked that nothing was left behind."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, env):
    """Keep every test away from the user's cache, zoos and proxies, and from waiting."""
    folder = tmp_path / "cache"
    env.setenv("CAREZOO_CACHE", str(folder))
    env.delenv("CAREZOO_ZOO", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        env.delenv(name, raising=False)
    env.setattr("carezoo.registry.fetch.PAUSE_S", 0.0)
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A zoo with two versions of a 2D and one of a 3D model."""
    target = tmp_path_factory.mktemp("template") / "zoo"
    target.mkdir()
    add(target, version="1.0.0")
    add(target, version="1.1.0", description="Better than before.")
    add_draft(target, packages.denoise_3d())
    return target


@pytest.fixture
def folder(template, tmp_path):
    """The zoo, to be changed by one test."""
    return Path(shutil.copytree(template, tmp_path / "zoo"))


@pytest.fixture
def served(folder):
    with servers.serving(folder) as server:
        yield server
