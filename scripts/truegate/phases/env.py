"""The variables and secrets of a profile: checked, written, encrypted."""

from __future__ import annotations

from invoke import Context, task

TARGET = {"target": "folder of the .env files (default: the working directory)"}


@task(
    default=True,
    help={
        **TARGET,
        "profile": "check .env.<profile> alone (default: each that is there)",
        "from_environment": "judge what is set now, by a secrets manager or CI, in the place of the file",
    },
)
def check(_context: Context, target: str = ".", profile: str = "", from_environment: bool = False) -> None:
    """Say all that is wrong with .env.<profile>."""
    from truegate.config import load_config
    from truegate.env_check import check_profiles
    from truegate.errors import ConfigError
    from truegate.finish import user_errors

    with user_errors():
        checked = check_profiles(load_config(target), profile or None, from_environment=from_environment)
        if checked.faults:
            listed = "\n".join(f"  {fault}" for fault in checked.faults)
            raise ConfigError(
                f"{len(checked.faults)} fault(s) in the environment:\n{listed}",
                "mend them; inv env.example prints what each variable is",
            )
        for source, count in checked.sound.items():
            print(f"{source}: {count} variables, all sound")
        for note in checked.notes:
            print(f"not looked for: {note}")


@task(help={**TARGET, "profile": "which to write (not production)"})
def init(_context: Context, target: str = ".", profile: str = "staging") -> None:
    """Write .env.staging with new random secrets."""
    from truegate.config import load_config
    from truegate.env import init_profile
    from truegate.env_check import known_of
    from truegate.finish import near, user_errors

    with user_errors():
        config = load_config(target)
        path, lacking = init_profile(config.target_dir, profile, known_of(config), config["staging.base_port"])
        print(f"wrote {near(path)} (mode 0600)")
        if lacking:
            print(f"to be filled in: {', '.join(lacking)}")


@task(help=TARGET)
def example(_context: Context, target: str = ".") -> None:
    """Print an annotated .env.example."""
    from truegate.config import load_config
    from truegate.env import example_text
    from truegate.env_check import known_of
    from truegate.finish import user_errors

    with user_errors():
        config = load_config(target)
        print(example_text(known_of(config), config["staging.base_port"]), end="")


@task(help={**TARGET, "profile": "which to encrypt"})
def encrypt(_context: Context, target: str = ".", profile: str = "staging") -> None:
    """Encrypt .env.staging with sops and age."""
    from truegate.config import load_config
    from truegate.env_sops import encrypt as encrypt_profile
    from truegate.env_sops import key_file
    from truegate.finish import near, user_errors

    with user_errors():
        made = encrypt_profile(load_config(target), profile)
        print(f"wrote {near(made.path)}: it may be committed")
        if made.new_key is None:
            print("for those whom .sops.yaml or SOPS_AGE_RECIPIENTS names")
        else:
            kept = "made now; keep a copy: nothing decrypts without it" if made.new_key else "it was there"
            print(f"key {key_file()} ({kept})")


@task(help={**TARGET, "profile": "which to edit"})
def edit(_context: Context, target: str = ".", profile: str = "staging") -> None:
    """Print the command that edits the secrets."""
    from truegate.config import load_config
    from truegate.env_sops import edit_command
    from truegate.finish import user_errors

    with user_errors():
        print(edit_command(load_config(target), profile))
