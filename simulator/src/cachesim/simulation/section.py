"""What every part of a scenario file is made of."""

from __future__ import annotations

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Part of a scenario: a field that is not known is a mistake."""
