"""`fairlead driver`: what authors of drivers use. `new` writes a driver to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from fairlead.cli.group import BAD_INPUT


@click.group(short_help="Begin a DRA driver of your own.")
def driver() -> None:
    """Tools for authors of DRA drivers.

    \b
    Examples:
      fairlead driver new fpga.example.com
    """


@driver.command(short_help="Write a small driver that works.")
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write; must not exist, or be empty. Absent: a folder of the driver's name, here.",
)
@click.option("--package", default="", metavar="NAME", help="The Python package. Absent: made of NAME.")
def new(name: str, folder: Path | None, package: str) -> None:
    """Write a Python project with a driver called NAME, a DNS subdomain such as fpga.example.com.

    The driver publishes, prepares and watches cards that are files; put your hardware in their place. With it come
    tests, a DaemonSet with the rights that it needs, a DeviceClass, an example of a claim, and a Dockerfile.

    Nothing that exists is overwritten. Exit status: 0, or 2 when a name or the folder cannot be used.

    \b
    Examples:
      fairlead driver new fpga.example.com
      fairlead driver new 5g.example.com --package radio_driver --dir work/radio
    """
    from fairlead.driver.template import NameFaultError, make_names, render

    try:
        names = make_names(name, package)
    except NameFaultError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(BAD_INPUT) from None
    folder = folder or Path(names.project)
    if folder.exists() and any(folder.iterdir()):
        click.echo(f"Error: {folder}: is not empty, and nothing is overwritten", err=True)
        raise SystemExit(BAD_INPUT)
    made = render(names)
    for path, text in made.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as to:
            to.write(text)
    click.echo(f"{folder}: {len(made)} files; README.md says what to do next")
