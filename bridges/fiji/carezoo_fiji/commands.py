"""The commands of the menu Plugins > CAREzoo, and how ImageJ gets to know them."""

from __future__ import annotations

from typing import Any

from carezoo_fiji import folders, others, restoring
from carezoo_fiji.calls import Command, Listener
from carezoo_fiji.java import implements, load

MENU = "CAREzoo"

COMMANDS = (
    Command("CARE Restore...", restoring.ask, restoring.do),
    Command("CARE Restore Folder...", folders.ask, folders.do),
    Command("CARE Show Uncertainty...", others.ask_uncertainty, others.show_uncertainty),
    Command("CARE Get Models...", others.ask_new_model, others.get_model),
    Command("CARE Model Info...", others.ask_model, others.show_model),
    Command("CARE Compare with Reference...", others.ask_comparison, others.compare),
    Command("CARE Help", others.ask_nothing, others.show_help),
)
"""In the order of the menu. Labels share one name space with all plugins, so every one says CARE."""

_FALLBACK = 'ij.plugin.Hotkeys("carezoo")'
"""What ImageJ's lists of commands show as the plugin; the listener answers before it would be called."""


def attach(session: Any) -> Any:
    """Add the commands to the ImageJ that runs, and return what has to be kept for as long as they shall answer."""
    listener = Listener(session, {command.label: command for command in COMMANDS})
    proxy = implements("ij.CommandListener", commandExecuting=listener.execute)
    load("ij.Executer").addCommandListener(proxy)
    instance = load("ij.IJ").getInstance()
    menus = load("ij.Menus")
    if menus.getCommands() is not None:
        for command in COMMANDS:
            menus.getCommands().put(command.label, _FALLBACK)
    if instance is not None and menus.getMenuBar() is not None:
        _add_menu(_plugins_menu(), instance)
    return proxy


def detach(proxy: Any) -> None:
    """Take the commands away again; menu items stay, and do nothing."""
    load("ij.Executer").removeCommandListener(proxy)


def _plugins_menu() -> Any:
    bar = load("ij.Menus").getMenuBar()
    menus = [bar.getMenu(i) for i in range(int(bar.getMenuCount()))]
    return next(menu for menu in menus if str(menu.getLabel()) == "Plugins")


def _add_menu(plugins: Any, instance: Any) -> None:
    existing = {str(plugins.getItem(i).getLabel()): plugins.getItem(i) for i in range(int(plugins.getItemCount()))}
    menu = existing.get(MENU)
    if menu is None:
        menu = load("java.awt.Menu")(MENU)
        plugins.add(menu)
    present = {str(menu.getItem(i).getLabel()) for i in range(int(menu.getItemCount()))}
    for command in COMMANDS:
        if command.label not in present:
            item = load("java.awt.MenuItem")(command.label)
            item.addActionListener(instance)
            menu.add(item)
