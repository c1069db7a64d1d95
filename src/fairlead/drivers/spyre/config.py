"""`SpyreClaimParameters`, the configuration of IBM's driver, which decodes none of it."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from fairlead.driver import Config


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what stands in a configuration."""


class Override(_Part, frozen=True):
    """What takes the place of the driver's own."""

    senlib_template_file: str | None = None
    """The name of a file in the folder of templates."""


class SpyreConfig(_Part, frozen=True):
    """How the devices of a claim are set up."""

    override: Override | None = None


class SpyreClaimParameters(Config, frozen=True):
    """How the devices of a claim are set up."""

    api_version: ClassVar[str] = "spyre.resource.ibm.com/v1alpha1"
    config: SpyreConfig | None = None

    @property
    def template(self) -> str:
        """The name of the template; empty for the driver's own."""
        override = self.config.override if self.config is not None else None
        return (override.senlib_template_file if override is not None else None) or ""
