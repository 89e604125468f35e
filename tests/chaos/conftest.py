"""A signer of its own for each test, with copies of two tokens that are made once."""

from __future__ import annotations

from rig.site_fixtures import ring, site, whole

__all__ = ["ring", "site", "whole"]
