"""What a name means: the newest version that runs, in the first zoo that knows it; an exact version for ever."""

import json
import logging

import packages
import pytest
import servers
from zoos import add, add_draft

import carezoo
from carezoo.errors import (
    DownloadError,
    IntegrityError,
    MissingExtraError,
    UnknownModelError,
    UnsupportedError,
    ZooError,
)
from carezoo.package.write import write_package
from carezoo.registry import cache, catalog, transport
from carezoo.registry.resolve import pull, resolve
from carezoo.registry.zoo import list_zoos, open_embedded, zoo_at

SHIPPED = "denoise-bpae-2d"


def test_what_ships_needs_neither_network_nor_cache(cache_folder):
    found = resolve(SHIPPED)
    assert found.path.parent == open_embedded().folder / "packages"
    assert found.origin == "ships with carezoo"
    assert resolve(f"{SHIPPED}@{found.version}").path.name == f"{SHIPPED}-{found.version}.zip"
    assert not cache_folder.exists()


def test_a_name_is_the_newest_version_and_an_exact_one_is_exact(folder):
    assert resolve("test-2d", [folder]).version == "1.1.0"
    assert resolve("test-2d@1.0.0", [folder]).version == "1.0.0"
    add(folder, version="1.10.0")
    assert resolve("test-2d", [folder]).version == "1.10.0"
    assert resolve("test-2d@1.0.0", [folder]).version == "1.0.0"


def test_a_zoo_in_a_folder_is_read_where_it_lies_and_pulled_on_demand(folder, cache_folder):
    assert resolve("test-2d", [folder]).path.is_relative_to(folder)
    assert resolve("test-2d", [f"file://{folder}"]).path.is_relative_to(folder)
    assert not cache_folder.exists()
    assert pull("test-2d", [folder]).path.is_relative_to(cache_folder)
    assert resolve("test-2d").path.is_relative_to(cache_folder)


def test_zoos_are_asked_in_order_and_the_first_that_knows_the_name_answers(folder, tmp_path, env):
    other = tmp_path / "other"
    other.mkdir()
    add(other, version="1.0.5")
    assert resolve("test-2d", [other, folder]).version == "1.0.5"
    assert resolve("test-2d", [folder, other]).version == "1.1.0"
    assert resolve("test-2d@1.1.0", [other, folder]).origin == str(folder)
    env.setenv("CAREZOO_ZOO", f"{other};{folder}")
    assert resolve("test-2d").version == "1.0.5"
    assert resolve("test-3d").version == "1.0.0"
    assert resolve(SHIPPED).origin == "ships with carezoo"


def test_a_newer_pulled_version_of_a_shipped_model_is_used(folder):
    shipped = resolve(SHIPPED).version
    add(folder, id=SHIPPED, version="99.0.0")
    pull(SHIPPED, [folder])
    assert resolve(SHIPPED).version == "99.0.0"
    assert resolve(f"{SHIPPED}@{shipped}").origin == "ships with carezoo"


def test_versions_for_a_newer_carezoo_are_passed_over_and_named(folder, caplog):
    text = (folder / "index.json").read_text()
    values = json.loads(text)
    values["items"][0]["versions"][1]["schema"] = 99
    (folder / "index.json").write_text(json.dumps(values))
    with caplog.at_level(logging.WARNING, "carezoo"):
        assert resolve("test-2d", [folder]).version == "1.0.0"
    assert "test-2d 1.1.0 is for a newer carezoo" in caplog.text
    values["items"][0]["versions"][0]["schema"] = 99
    (folder / "index.json").write_text(json.dumps(values))
    with pytest.raises(UnsupportedError, match="pip install -U carezoo"):
        resolve("test-2d", [folder])


@pytest.mark.parametrize(
    ("reference", "kind", "message"),
    [
        ("test-2", UnknownModelError, "Did you mean test-2d"),
        ("test-2d@3.0.0", UnknownModelError, "no version 3.0.0; there is 1.0.0, 1.1.0"),
        ("test-2d@", UnknownModelError, "expected NAME or NAME@VERSION"),
        ("folder/test-2d.zip", ZooError, "expected a folder, a .zip file or the name"),
        ("missing.zip", ZooError, "expected a folder"),
    ],
)
def test_what_is_not_there_is_told(folder, reference, kind, message):
    with pytest.raises(kind, match=message):
        resolve(reference, [folder])


def test_a_folder_that_is_no_zoo(tmp_path):
    with pytest.raises(ZooError, match=r"is not a zoo: it holds no index.json"):
        resolve("test-2d", [tmp_path])


def test_a_package_that_is_not_the_one_in_the_index(folder):
    draft = packages.denoise_2d(seed=5, version="1.1.0")
    target = folder / "test-2d" / "1.1.0" / "test-2d-1.1.0.zip"
    write_package(draft, target, overwrite=True)
    with pytest.raises(IntegrityError, match="published version never changes"):
        resolve("test-2d", [folder])


def test_everything_pulled_works_without_the_network(served, caplog):
    pull("test-2d", [served.url])
    n_requests = len(served.requests)
    assert resolve("test-2d").version == "1.1.0"
    assert resolve("test-2d@1.1.0", [served.url]).version == "1.1.0"
    assert carezoo.load("test-2d").manifest.version == "1.1.0"
    assert len(served.requests) == n_requests, "an exact version that is here, or no zoo named: nothing is asked"


def test_offline_the_last_index_is_used_with_a_warning(folder, caplog):
    with servers.serving(folder) as server:
        pull("test-2d", [server.url])
    assert resolve("test-2d", [server.url]).version == "1.1.0"
    assert "cannot be reached" in caplog.text
    assert "the list of the last visit" in caplog.text
    assert {row.name for row in catalog.models(zoos=[server.url])} >= {"test-2d", "test-3d", SHIPPED}
    with pytest.raises(DownloadError, match="Are you offline, or behind a proxy"):
        resolve("test-3d", [server.url])


def test_offline_and_never_visited(caplog):
    gone = "http://127.0.0.1:9"
    assert resolve(SHIPPED, [gone]).origin == "ships with carezoo"
    assert "cannot be reached" in caplog.text
    with pytest.raises(DownloadError, match=r"cannot be reached.*HTTPS_PROXY"):
        resolve("test-2d", [gone])
    with pytest.raises(DownloadError, match="cannot be reached"):
        pull(SHIPPED, [gone])


def test_an_unchanged_index_is_not_sent_again(served):
    first = zoo_at(served.url).index()
    served.fault("index.json", lambda request, content, start: servers.answer(request, content, start))
    assert zoo_at(served.url).index() == first
    assert zoo_at(f"{served.url}/index.json").index() == first


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (servers.status(404), "is not a zoo.*404"),
        (servers.instead(lambda content: b"{oops"), "not readable JSON.*Is this the address of a zoo"),
        (
            servers.instead(lambda content: b"<html>"),
            "not with the index of a zoo. Does this network",
        ),
        (servers.without_length(lambda content: b" " * (40 << 20)), "has more than"),
    ],
)
def test_an_index_that_is_none(served, fault, message):
    served.fault("index.json", fault)
    with pytest.raises(ZooError, match=message):
        resolve("test-2d", [served.url])


def test_the_proxy_of_the_environment_is_used(served, env):
    env.setenv("HTTP_PROXY", served.url)  # the proxy answers for a host that does not exist
    env.delenv("NO_PROXY", raising=False)
    env.delenv("no_proxy", raising=False)
    with pytest.raises(ZooError, match=r"no-such-host.invalid.*404"):
        resolve("test-2d", ["http://no-such-host.invalid/zoo"])
    assert [path for path, _ in served.requests] == ["zoo/index.json"]


def test_object_stores_come_through_fsspec(folder):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            memory.pipe(f"/bucket/{path.relative_to(folder).as_posix()}", path.read_bytes())
    assert pull("test-2d", ["memory://bucket"]).version == "1.1.0"
    with pytest.raises(ZooError, match="no such file"):
        resolve("test-2d", ["memory://elsewhere"])
    with pytest.raises((MissingExtraError, DownloadError), match="gcs"):
        transport.read("gcs://bucket/index.json", 100)


def test_passwords_in_addresses_are_not_shown():
    assert transport.redact("https://me:secret@host/zoo?token=abc") == "https://host/zoo"


def test_list_filters(folder):
    def names(**given):
        return [row.name for row in catalog.models(zoos=[folder], **given) if row.name.startswith("test-")]

    add_draft(folder, packages.project_3d())
    assert names() == ["test-2d", "test-3d", "test-project"]
    assert names(dims=3) == ["test-3d", "test-project"]
    assert names(task="project") == ["test-project"]
    assert names(search="better than") == ["test-2d"]
    assert names(search="nuclei unheard-of") == []
    with pytest.raises(carezoo.CarezooError, match="denoise, upsample, isotropic, project"):
        catalog.models(task="sharpen")


def test_outdated_asks_where_models_came_from(served, folder):
    pull("test-2d@1.0.0", [served.url])
    pull("test-3d", [served.url])
    (row,) = catalog.outdated()
    assert (row.name, row.version, row.newest, row.zoo) == ("test-2d", "1.0.0", "1.1.0", served.url)
    pull("test-2d", [served.url])
    assert catalog.outdated() == ()


def test_remove(served):
    for reference in ("test-2d@1.0.0", "test-2d", "test-3d"):
        pull(reference, [served.url])
    assert [each.version for each in catalog.remove("test-2d@1.0.0")] == ["1.0.0"]
    assert resolve("test-2d").version == "1.1.0"
    with pytest.raises(UnknownModelError, match=r"was not pulled; there is 1.1.0"):
        catalog.remove("test-2d@1.0.0")
    catalog.remove("test-2d")
    with pytest.raises(UnknownModelError):
        resolve("test-2d")
    with pytest.raises(ZooError, match="ships with carezoo and stays"):
        catalog.remove(SHIPPED)
    assert [each.model for each in cache.list_pulled()] == ["test-3d"]


def test_a_damaged_record_is_left_out_and_named(served, caplog):
    path = pull("test-2d", [served.url]).path
    (path.parent / "origin.json").write_text("{")
    assert cache.list_pulled() == ()
    assert "is damaged and not used" in caplog.text
    pull("test-2d", [served.url])
    assert [each.model for each in cache.list_pulled()] == ["test-2d"]


def test_a_cache_that_cannot_be_written(served, env, tmp_path):
    (tmp_path / "file").write_text("")
    env.setenv("CAREZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(ZooError, match="CAREZOO_CACHE to a folder that can be written"):
        pull("test-2d", [served.url])


def test_zoos_of_the_variable(env):
    env.setenv("CAREZOO_ZOO", " https://a.org/zoo/ ; s3://bucket/zoo;;")
    assert [zoo.location for zoo in list_zoos()] == ["https://a.org/zoo", "s3://bucket/zoo"]
    assert list_zoos([]) == ()


def test_one_zoo_may_be_given_as_it_is(folder):
    assert list_zoos(str(folder)) == list_zoos(folder) == list_zoos([folder])


def test_a_password_is_written_down_nowhere(served, cache_folder):
    address = served.url.replace("http://", "http://me:secret@")
    assert resolve("test-2d@1.0.0", [address]).path == pull("test-2d@1.0.0", [address]).path
    written = [path.read_bytes() for path in cache_folder.rglob("*.json")]
    assert len(written) == 2
    assert not any(b"secret" in each for each in written)


def test_a_network_that_wants_a_login_does_not_hide_what_is_here(served, caplog):
    served.fault("index.json", servers.instead(lambda content: b"<html>log in</html>"))
    assert resolve(SHIPPED, [served.url]).origin == "ships with carezoo"
    assert "log in first" in caplog.text


def test_a_zoo_that_is_away_hides_no_others_from_the_lists(folder, caplog):
    gone = "http://127.0.0.1:9"
    pull("test-2d@1.0.0", [folder])
    assert {row.name for row in catalog.models(zoos=[gone, folder])} >= {"test-2d", SHIPPED}
    assert "cannot be reached" in caplog.text
    (row,) = catalog.outdated([gone])
    assert (row.name, row.newest) == ("test-2d", "1.1.0")


def test_a_zoo_with_nothing_but_newer_versions_is_passed_over(folder, tmp_path, caplog):
    other = tmp_path / "other"
    other.mkdir()
    add(other, version="9.0.0")
    path = other / "index.json"
    values = json.loads(path.read_text())
    values["items"][0]["versions"][0]["schema"] = 99
    path.write_text(json.dumps(values))
    assert resolve("test-2d", [other, folder]).version == "1.1.0"
    with pytest.raises(UnsupportedError, match="newer carezoo"):
        resolve("test-2d", [other])


def test_a_pulled_model_is_found_by_what_its_package_says(folder):
    pull("test-3d", [folder])
    assert "test-3d" in [row.name for row in catalog.models(dims=3)]
    assert "test-3d" not in [row.name for row in catalog.models(dims=2)]


def test_pulling_again_mends_what_rotted_and_what_is_gone_was_not_pulled(served, caplog):
    path = pull("test-2d", [served.url]).path
    content = path.read_bytes()
    path.write_bytes(content[:-9] + b"otherwise")
    assert pull("test-2d").path.read_bytes() == content
    assert "damaged on the disk" in caplog.text
    path.unlink()
    with pytest.raises(UnknownModelError):
        resolve("test-2d")
    assert resolve("test-2d@1.1.0", [served.url]).path.read_bytes() == content


def test_a_folder_of_results_does_not_hide_the_model_it_is_called_after(tmp_path, env):
    env.chdir(tmp_path)
    (tmp_path / SHIPPED).mkdir()
    (tmp_path / SHIPPED / "restored.tif").write_bytes(b"")
    assert resolve(SHIPPED).origin == "ships with carezoo"


def test_a_record_with_other_types_is_damaged(served, caplog):
    path = pull("test-2d", [served.url]).path.parent / "origin.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))
    assert cache.list_pulled() == ()
    assert "is damaged and not used" in caplog.text
