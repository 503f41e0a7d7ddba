"""Which bundles may run here: undamaged, signed by a trusted key if there are any, and no older than what ran before.

file --digests--> bundle --signature--> trusted --version--> admitted --golden rows--> runs, and is remembered
"""

from __future__ import annotations

import logging
import stat
from pathlib import Path
from typing import NamedTuple

from lineside_agent import versions
from lineside_agent.settings import Settings
from lineside_agent.verifier import made_elsewhere
from lineside_contract.bundle import Bundle
from lineside_contract.errors import InputError
from lineside_contract.signature import PublicKey, verify

log = logging.getLogger(__name__)


class Admitted(NamedTuple):
    """A bundle that may run here.

    `signed_by` names the trusted keys that signed it, none if there are no trusted keys. `known` is the newest
    version of each model that has run here.
    """

    bundle: Bundle
    signed_by: tuple[str, ...]
    known: dict[str, str]

    @property
    def newest(self) -> str | None:
        """The newest version of this model that has run here, if any has."""
        return self.known.get(self.bundle.manifest.name)

    def remember(self, state: Path) -> None:
        """Write down that this bundle runs. A full disk is no reason not to run: that is only logged."""
        try:
            versions.remember(state, self.bundle.manifest, self.known)
        except OSError as error:
            log.warning("an older model will not be refused: %s: %s", state / versions.FILE, error.strerror)


def admit(settings: Settings) -> Admitted:
    """Open the bundle that the settings name. Raises BundleError if it may not run, InputError for a bad key.

    Raises LinesideError if its signature could not be verified: then it may not run now.

    Nothing of it but the manifest has been read as anything more than bytes.
    """
    bundle = Bundle.open(settings.bundle)
    signed_by = _signers(bundle, settings)
    known = _known(settings)
    if not settings.allow_downgrade:
        versions.refuse_older(bundle.manifest, known.get(bundle.manifest.name))
    return Admitted(bundle, signed_by, known)


def _signers(bundle: Bundle, settings: Settings) -> tuple[str, ...]:
    if not settings.trusted_keys:
        return ()
    keys = [PublicKey.load(path) for path in settings.trusted_keys]
    for path in settings.trusted_keys:
        if path.stat().st_mode & stat.S_IWOTH:
            log.warning("every user may replace the trusted key %s; run: chmod o-w %s", path, path)
    return tuple(key.name for key in verify(bundle, keys, str(settings.bundle), made_elsewhere))


def _known(settings: Settings) -> dict[str, str]:
    try:
        return versions.newest_run(settings.state)
    except InputError as error:
        if not settings.allow_downgrade:
            raise
        log.warning("%s", error.message)
        return {}
