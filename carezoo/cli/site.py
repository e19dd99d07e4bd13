"""``carezoo site``."""

from __future__ import annotations

from pathlib import Path

import click

from carezoo.cli import declared


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
