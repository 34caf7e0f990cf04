"""Writes the manifests of the custom resource definitions: ``python -m remora.policy.crd_files``.

`make check` writes them again and compares.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from remora.policy.crd import custom_resource_definitions

_HEAD = "# Made by `make crds` of the models in sdk/remora/policy; change those.\n"


def manifests() -> Iterator[tuple[str, str]]:
    """Make the name and text of each file."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100
    yaml.representer.ignore_aliases = lambda _: True
    for definition in custom_resource_definitions():
        text = io.StringIO()
        yaml.dump(definition, text)
        yield f"{definition['spec']['names']['plural']}.yaml", _HEAD + text.getvalue()


def write_manifests(folder: Path) -> None:
    """Write every manifest to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in manifests():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_manifests(Path(sys.argv[1]))
