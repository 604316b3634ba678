"""What the Hugging Face hub serves openly of a mix's data sets, fetched into the mix's folders; the rest is named.

The hub's client resumes a connection that breaks, and a command that was stopped goes on with the files that are not whole yet. A
data set is not taken for whole before it is: a file of the name `UNFINISHED` lies in its folder until then.
"""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from dragonfly.files import write_text

from .availability import Place, places
from .mix import Mix
from .sources.access import Access
from .sources.source import UNFINISHED

Say = Callable[[str], None]


def download(mix: Mix, say: Say) -> None:
    """Fetch each data set of `mix` that is open, on the hub and not there yet; `say` hears what was done, and where to ask.

    ValueError when the hub does not give a file. Archives are unpacked where the reader looks for their images.
    """
    excluded = {source.name: source.exclude for source in mix.sources}
    for place in places(mix):
        if not place.missing:
            say(f"{place.name}: there ({place.folder})")
        elif place.source is None:
            say(f"{place.name}: skipped; it is not one of ours: {'; '.join(place.missing)}")
        elif not place.source.access.downloads:
            say(f"{place.name}: skipped; {_where(place.source.access, place.source.url)}")
        else:
            say(f"{place.name}: fetching {place.source.access.hub} ({place.source.access.size}) into {place.folder}")
            _fetch(place, place.source.access, excluded.get(place.name, ()), say)


def _where(access: Access, url: str) -> str:
    asked = f"apply at {access.apply}" if access.apply else f"see {url}"
    return f"access is {access.terms}: {asked}" + (f"; {access.rest}" if access.rest else "")


def _fetch(place: Place, access: Access, excluded: Sequence[str], say: Say) -> None:
    """The files that the reader takes, without the folders of excluded sub-sets; then their archives, unpacked."""
    from huggingface_hub import snapshot_download

    folder = Path(place.folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / UNFINISHED, f"{access.hub} is being fetched into this folder; run the same command again to go on.\n")
    wanted = [pattern for pattern in access.patterns if PurePosixPath(pattern).parts[0] not in excluded]
    try:
        snapshot_download(str(access.hub), repo_type="dataset", local_dir=folder, allow_patterns=wanted)
    except Exception as error:  # offline, unknown, gated, broken off: of the hub's client and of the HTTP client below it
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{place.name}: the hub did not give {access.hub} ({reason:.200}); the files that are whole stay in {folder}: "
            "run the same command again"
        ) from None
    for pattern, target in access.unpack:
        for archive in sorted(folder.glob(pattern)):
            _unpack(archive, folder, PurePosixPath(target))
    (folder / UNFINISHED).unlink()
    if access.rest:
        say(f"{place.name}: fetched; besides, {access.rest}")


def _unpack(archive: Path, folder: Path, target: PurePosixPath) -> None:
    """Unpack into `folder`/`target`, whether or not the archive's own paths begin with it or with its last part."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
            names = [PurePosixPath(info.filename).parts for info in members]
            for info, parts in zip(members, names, strict=True):
                if ".." in parts or info.filename.startswith("/"):
                    raise ValueError(f"{archive} holds {info.filename!r}, which points outside; it is not unpacked")
            opened.extractall(folder / _base(names, target), members)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive} is not a whole zip file ({error}); remove it and run the same command again") from None


def _base(names: Sequence[tuple[str, ...]], target: PurePosixPath) -> PurePosixPath:
    """What to put before the archive's paths so that they lie below `target`."""
    for length in (len(target.parts), 1):
        tail = target.parts[-length:]
        if all(name[:length] == tail and len(name) > length for name in names):
            return PurePosixPath(*target.parts[: len(target.parts) - length])
    return target
