from datetime import UTC, datetime

import pytest

from bigimage.errors import InputError
from bigimage.model.person import ROLES, Person, check_name, check_role


def test_each_role_may_do_what_those_before_it_may() -> None:
    made = [Person("ann", role, datetime.now(UTC)) for role in ROLES]
    for k, person in enumerate(made):
        assert [person.may(role) for role in ROLES] == [j <= k for j in range(len(ROLES))]


def test_names_and_roles_are_checked() -> None:
    assert check_name("Zoë.K-1") == "Zoë.K-1"
    assert check_role("admin") == "admin"
    for name in ("", "-a", "a b", "a/b", "a:b", "local", "a" * 65):
        with pytest.raises(InputError):
            check_name(name)
    with pytest.raises(InputError, match="is not a role"):
        check_role("Admin")
