"""External tools: where each was found, and how to install what is missing."""

from __future__ import annotations

from invoke import Collection, Context, task


@task(help={"target": "folder whose truegate.toml may name tools (default: the working directory)"})
def show(_context: Context, target: str = ".") -> None:
    """Show each tool: wanted, found, from where."""
    from truegate import tools
    from truegate.config import load_config
    from truegate.errors import InconclusiveError
    from truegate.finish import near, user_errors
    from truegate.remembered import TOOLS_DIR
    from truegate.tables import show_table

    with user_errors():
        configured = load_config(target)["tools"]
        rows, missing = [], []
        for name, tool in tools.table().items():
            wanted = f">= {tool.minimum}, pinned {tool.pinned}"
            try:
                found = tools.find(name, configured)
            except InconclusiveError as error:
                rows.append([name, wanted, "missing", "", ""])
                missing.append(str(error))
            else:
                mark = f"{found.source}, unverified" if tool.unverified else found.source
                rows.append([name, wanted, found.version, mark, found.sha256[:12]])
        show_table(rows, ["tool", "wanted", "found", "from", "sha256"])
        print("\n".join(["", *missing]) if missing else f"\nkept in {near(TOOLS_DIR)}")


@task(iterable=["name"], help={"name": "a tool of the table; repeat it for several (default: trivy)"})
def install(_context: Context, name: list[str]) -> None:
    """Install pinned tools into .tools/."""
    from truegate.finish import user_errors
    from truegate.install import install as install_tool

    with user_errors():
        for wanted in name or ["trivy"]:
            found = install_tool(wanted)
            print(f"{wanted} {found.version} {found.path}")


collection = Collection("tools")
collection.add_task(show, default=True)
collection.add_task(install)
