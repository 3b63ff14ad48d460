"""Container images as environments: what the settings name, by digest; nothing is resolved and nothing installed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sweep.errors import ChannelError
from sweep.files import write_atomic
from sweep.model import EnvironmentKey
from sweep.schema import EnvironmentState, PlannedEnvironment
from sweep.settings import Settings


def resolve(keys: Mapping[str, EnvironmentKey], settings: Settings, here: Path) -> dict[str, PlannedEnvironment]:
    """The image of each environment, and its digest in the lock's place.

    Raises:
        ChannelError: an image file cannot be read.
        ResultsError: the sweep's directory cannot be written.
    """
    return {id_: _environment(key, settings, here / "environments" / id_) for id_, key in keys.items()}


def _environment(key: EnvironmentKey, settings: Settings, directory: Path) -> PlannedEnvironment:
    image = settings.frameworks[key.framework].image_of(key.version, key.cuda)
    if image is None:
        said = f"frameworks.{key.framework}.images has none with {key.version} for CUDA {key.cuda}"
        write_atomic(directory / "explanation.txt", said + "\n", durable=False)
        return PlannedEnvironment(
            id=key.id,
            **key.model_dump(),
            source=settings.frameworks[key.framework].source,
            state=EnvironmentState.UNSATISFIABLE,
            specs=(),
            explanation=said,
        )
    return PlannedEnvironment(
        id=key.id,
        **key.model_dump(),
        source=settings.frameworks[key.framework].source,
        state=EnvironmentState.RESOLVED,
        specs=(image.image,),
        build=f"{key.framework} {image.version} in {Path(image.image).name}",
        runtime=image.cuda,
        image=image.image,
        lock_sha256=digest(image.image),
    )


def digest(image: str) -> str:
    """The SHA-256 of an image: the one in its name, or that of its file.

    Raises:
        ChannelError: the file cannot be read.
    """
    _, separator, named = image.partition("@sha256:")
    return named if separator else _file_digest(image)


@cache
def _file_digest(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ChannelError(
            f"the container image {path} cannot be read here: {error.strerror}; the access point transfers it to the "
            "jobs, so name a file that it has"
        ) from error
