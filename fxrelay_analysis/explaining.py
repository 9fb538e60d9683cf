"""What differs between two keys, part by part, in words."""

from typing import Any

from fxrelay_analysis import canonical

Key = dict[str, Any]


def differences(entry: Key, key: Key) -> list[str]:
    """Return a line for each part of `key` that is not that of the stored key `entry`."""
    old, new = flat(entry), flat(key)
    return [
        f"  {name}: stored {old.get(name, 'nothing')}, now {new.get(name, 'nothing')}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]


def flat(key: Key) -> dict[str, str]:
    """Return the parts of a key by name, as texts; none where it is no key."""
    try:
        parts = _of_run(key) if "steps" in key else _of_stage(key, "")
    except (KeyError, AttributeError, TypeError, ValueError):
        return {}
    return {name: canonical.text(value) for name, value in parts.items()}


def _of_stage(key: Key, where: str) -> dict[str, Any]:
    parts = {f"{where}parameter {name}": value for name, value in key["parameters"].items()}
    parts |= {f"{where}input {i}": value for i, value in enumerate(key["inputs"])}
    return parts | {f"{where}{name}": key[name] for name in ("version", "code")}


def _of_run(key: Key) -> dict[str, Any]:
    parts = {f"variable {name}": value for name, value in key["inputs"]} | {"code": key["code"]}
    for name, inputs, shown, suffix, stage in key["steps"]:
        where = f"step {name} "
        parts |= _of_stage(stage, where) | {f"{where}stage": stage["stage"]}
        parts |= {f"{where}inputs": inputs, f"{where}shown": shown, f"{where}suffix": suffix}
    return parts
