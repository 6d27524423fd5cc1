"""The licence of a licence file: askalono compares its text with those of the SPDX list (decision 45)."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from hashlib import blake2b
from typing import Final, NamedTuple

from askalono import identify

from pipeline.model.text import text_of

log = logging.getLogger(__name__)

MOST_BYTES: Final = 128 << 10
"""Size up to which a file is compared; the longest licence of the SPDX list has 60 KiB."""

SURE: Final = 0.8
"""Similarity below which a text is no licence, as for askalono's own command."""

SHORTEST: Final = 80
"""Characters that a text has at least if it is compared; the shortest licence of the SPDX list has 87."""

MOST_TEXTS: Final = 1000
"""Different texts of a network that a task compares."""

CACHED: Final = 1 << 16
"""Texts whose licences a process remembers: a comparison takes 0.2 s, and most differ in the copyright only."""

NAMES: Final = (
    r"(?i)^(?!.*\.(?:c|cpp|cs|css|go|h|html?|java|js|json|kt|php|png|py|rb|rs|svg|swift|tsx?|xml|ya?ml)$)(?:"
    r"(?:(?:un)?licen[cs]es?|copying|mit-licen[cs]e|l?gpl)(?:[-._][\w.+-]*)?"
    r"|.*[-._]licen[cs]e(?:\.(?:txt|md|rst))?"
    r"|(?:0BSD|A?GPL|AFL|APACHE|ARTISTIC|BSD|BSL|CC|CC0|CDDL|CECILL|EPL|EUPL|GFDL|ISC|LGPL|MIT|MPL|MS|OFL|OSL|PSF|ZLIB)"
    r"(?:-[\w.+-]+)?\.txt)$"
)
"""Names of licence files, for Python and for Spark: LICENSE, COPYING and the like, and ``LICENSES/*.txt`` of REUSE."""

_COPYRIGHT: Final = re.compile(r"(?im)^[ \t]*copyright\b.*\d{4}.*$")
_LESSER: Final = 0.304
"""Similarity of the LGPL 3 to its entry in the list, which has the text of the GPL 3 after it."""

_MODIFIED: Final = {"Pixar": ("Modified Apache", "Apache-2.0")}
"""Licences that are another one with a change, what such a text says, and the other one: which many files have without
its appendix, so that they are less like it than like the modified one.
"""


class Licence(NamedTuple):
    """A licence's id in the SPDX list, and how similar the text is, from ``SURE`` to 1."""

    spdx_id: str
    confidence: float


class Licences:
    """The licences of the files of a task; of a network, texts beyond ``MOST_TEXTS`` have none, with a warning."""

    def __init__(self) -> None:
        self._texts: dict[int, set[bytes]] = defaultdict(set)
        self._cut = set[int]()

    def of(self, network: int, name: str, content: bytes) -> Licence | None:
        """The licence that a file is the text of; None if it is not named like one, or is like none of the list.

        Texts of the GPL do not say whether later versions are allowed: they are called ``-only``. Never raises,
        whatever the bytes.
        """
        if len(content) > MOST_BYTES or b"\0" in content or not re.search(NAMES, name):
            return None
        text = _COPYRIGHT.sub("", text_of(content)).strip()
        if len(text) < SHORTEST:
            return None
        digest, texts = blake2b(text.encode(errors="replace"), digest_size=16).digest(), self._texts[network]
        if digest not in texts:
            if len(texts) >= MOST_TEXTS:
                self._warn(network)
                return None
            texts.add(digest)
        return _known(digest, text)

    def _warn(self, network: int) -> None:
        if network not in self._cut:
            self._cut.add(network)
            log.warning(
                "network %d: too many different licence texts; some get no licence", network, extra={"network": network}
            )


_LICENCES: dict[bytes, Licence | None] = {}


def _known(digest: bytes, text: str) -> Licence | None:
    if digest not in _LICENCES:
        if len(_LICENCES) >= CACHED:
            _LICENCES.clear()
        _LICENCES[digest] = _matched(text)
    return _LICENCES[digest]


def _matched(text: str) -> Licence | None:
    try:
        found = identify(text)
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":  # which is no Exception
            log.warning("a licence text cannot be compared: %s: %s", type(error).__name__, str(error)[:200])
            return None
        raise
    score = found.score
    if found.name.startswith("LGPL-3.0") and score < SURE and "LESSER GENERAL PUBLIC LICENSE" in text:
        score = min(1.0, score / _LESSER)
    said, other = _MODIFIED.get(found.name, ("", found.name))
    return Licence(found.name if said in text else other, round(score, 3)) if score >= SURE else None
