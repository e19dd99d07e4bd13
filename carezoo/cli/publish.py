"""``carezoo publish`` and ``carezoo site``."""

from __future__ import annotations

from pathlib import Path

import click

from carezoo.cli import declared
from carezoo.cli.declared import open_reference
from carezoo.errors import InputError


@click.command("publish")
@click.argument("reference", metavar="[PACKAGE]", required=False)
@click.option("--zoo", "folder", type=declared.FOLDER, help="Folder of the zoo; a new one is made.")
@click.option("--comment", default="", metavar="TEXT", help="What is new in this version, one line.")
@click.option("--url", default="", metavar="URL", help="Where the folder will be served; remembered by the zoo.")
@click.option(
    "--zips-only", "is_zips_only", is_flag=True, help="A new zoo holds zips and the index alone, for a repository."
)
@click.option("--dry-run", "dry_run", is_flag=True, help="Check and tell, but write nothing.")
@click.option(
    "--bioimageio-zip",
    "upload",
    type=declared.PATH,
    metavar="FILE",
    help="Instead, write the zip that bioimage.io's upload form takes, and list what it will still ask for.",
)
def publish_command(
    reference: str | None,
    folder: Path | None,
    comment: str,
    url: str,
    is_zips_only: bool,
    dry_run: bool,
    upload: Path | None,
) -> None:
    """Put PACKAGE into the zoo in a folder: check it, hold its version against what changed, rebuild index and pages.

    Any web server or object store can serve the folder as it is. A published version is never replaced. Without
    PACKAGE, index and pages are rebuilt from the zips that lie there.
    """
    from carezoo.registry.publish import bioimageio_zip, publish, rebuild

    if reference and upload is not None:
        missing = bioimageio_zip(open_reference(reference).path, upload)
        click.echo(upload)
        for line in missing:
            click.echo(f"  still missing: {line}", err=True)
        return
    if folder is None:
        raise InputError("where to? Give PACKAGE and the folder of the zoo (--zoo DIR), or --bioimageio-zip FILE")
    if not reference:
        index = rebuild(folder, url=url)
        click.echo(f"{folder}: {len(index.versions)} version(s) of {len(index.names())} model(s)")
        return
    tell = lambda step: click.echo(step, err=True)  # noqa: E731
    done = publish(
        open_reference(reference).path,
        folder,
        comment=comment,
        url=url,
        dry_run=dry_run,
        is_zips_only=is_zips_only,
        progress=tell,
    )
    verb = "would publish" if dry_run else "published"
    click.echo(f"{verb} {done.version.reference} ({done.change}): {done.path}, {done.version.zip.size / 1e6:.1f} MB")


@click.command("site")
@click.option("--zoo", "folder", type=declared.PATH, help="Folder of the zoo.  [default: what ships]")
@declared.folder_option("target", "Folder to write; a web server's.", required=True)
@click.option("--url", default="", metavar="URL", help="Where the folder will be served, for id_map.json.")
def site_command(folder: Path | None, target: Path, url: str) -> None:
    """Make the folder that a web server needs: a gallery with a page for every model, and the zoo itself.

    The pages work from disk, too: open index.html in a browser.
    """
    from carezoo.registry.site.pages import write_site
    from carezoo.registry.zoo import folder_of, open_embedded

    count = write_site(
        folder_of(folder) if folder else open_embedded().folder,
        target,
        url=url,
        progress=lambda name: click.echo(name, err=True),
    )
    click.echo(f"{target / 'index.html'}: {count} models")
