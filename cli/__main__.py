"""`meshloom`: the entry point. Maps every failure to a message and an exit code."""

import sys
from collections.abc import Sequence

import click
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.lazy import LazyGroup

_IN = "meshloom.cli.commands"
COMMANDS = {
    "up": (f"{_IN}.up", "Run a whole mesh on this machine from a directory of YAML."),
    "run": (f"{_IN}.run", "Run one program with a sidecar beside it."),
    "gateway": (f"{_IN}.gateway", "Run an edge gateway from YAML, without any other part of a mesh."),
    "demo": (f"{_IN}.demo", "Run the shop, change it under load, and measure what happens."),
    "apply": (f"{_IN}.apply", "Create or change rules, services and workloads."),
    "get": (f"{_IN}.get", "Show what the mesh is configured with."),
    "delete": (f"{_IN}.delete", "Take objects out of the mesh."),
    "validate": (f"{_IN}.validate", "Check YAML without a mesh."),
    "proxy-status": (f"{_IN}.proxy_status", "Show which proxies are connected and what they have accepted."),
    "proxy-config": (f"{_IN}.proxy_config", "Show what one proxy runs with."),
    "version": (f"{_IN}.version", "Show the version."),
}


@click.group(
    cls=LazyGroup,
    commands_in=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 cannot be reached; 130 interrupted.",
)
def meshloom() -> None:
    """Meshloom is a service mesh: Istio's YAML, Envoy's xDS, no Kubernetes needed.

    \b
    Start here:
      meshloom demo                    see all of it in a minute
      meshloom up examples/shop        a mesh on this machine; Ctrl-C ends it
      meshloom apply -f rule.yaml      in another terminal
      meshloom run --workload hello --port 8000 -- python -m http.server
    """


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        meshloom.main(
            args=None if arguments is None else list(arguments), prog_name="meshloom", standalone_mode=False
        )
    except CliError as error:
        return _tell(str(error), error.hint, error.code)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # `meshloom get ... | head`: nobody reads any more, and that is fine
        return Exit.OK
    return Exit.OK


def _tell(message: str, hint: str, code: Exit) -> int:
    click.secho("error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(message, err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
