"""No secret is left in a text, however it is spelled; what is no secret stays readable."""

import pytest

from nmdc_release_ops.masking import mask, mask_address, mask_logins


@pytest.mark.parametrize("secret", ["a b", "a%20b", "a+b"])
@pytest.mark.parametrize("spelled", ["a b", "a%20b"])
def test_a_known_secret_is_masked_in_every_spelling(secret: str, spelled: str) -> None:
    assert mask(f"login with {spelled} failed", [secret]) == "login with *** failed"


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    assert mask("hunter22", ["hunter2", "hunter22"]) == "***"


def test_nothing_is_masked_where_no_secret_is_known() -> None:
    assert mask("a text", ["", "hunter2"]) == "a text"


def test_logins_are_masked_and_branches_are_not() -> None:
    text = "git+https://github.com/a/b@branch from https://me:hunter2@h/x and https://token@h"
    assert mask_logins(text) == "git+https://github.com/a/b@branch from https://***@h/x and https://***@h"


@pytest.mark.parametrize(
    "address",
    ["https://me:hun/ter2@host", "git+https://me:hunter2@host/x.git", "https://host/x?token=hunter2", "//hunter2@"],
)
def test_a_malformed_address_keeps_no_secret(address: str) -> None:
    assert "ter2" not in mask_address(address)
