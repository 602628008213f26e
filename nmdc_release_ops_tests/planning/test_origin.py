"""What has to hold of an origin whose release catches up with what people write."""

from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.delta.stream import StreamRefused
from nmdc_release_ops.mongo.freezing.choose import Choice
from nmdc_release_ops.mongo.operator_role import operator_role
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.planning.origin import require_change_stream, require_promotable
from nmdc_release_ops.planning.refusal import PlanRefused


def test_an_origin_that_can_lock_nobody_out_is_refused(guarded_mongod: PrivateMongod) -> None:
    with MongoClient[Any](guarded_mongod.uri) as administrator:
        require_promotable(administrator["watched"], Choice(Strategy.WRITE_BLOCK, "", ()))
        with pytest.raises(PlanRefused, match="Turn authorization on; or launch data_release"):
            require_promotable(administrator["watched"], Choice(Strategy.NONE, "", ()))


def test_an_operator_who_may_not_update_what_is_staged_is_told_which_role_to_grant(
    guarded_mongod: PrivateMongod,
) -> None:
    with MongoClient[Any](guarded_mongod.uri) as administrator:
        administrator.admin.command("createRole", "operator", **operator_role("watched"))
        administrator.admin.command("createUser", "operator", pwd="secret", roles=["operator"])
        try:
            host, port = administrator.address or ("", 0)
            with (
                MongoClient[Any](host, port, username="operator", password="secret", directConnection=True) as operator,
                pytest.raises(PlanRefused, match=r"remove, update.*Grant the role nmdc_release_promoter"),
            ):
                require_promotable(operator["watched"], Choice(Strategy.WRITE_BLOCK, "", ()))
        finally:
            administrator.admin.command("dropUser", "operator")
            administrator.admin.command("dropRole", "operator")


def test_an_origin_without_change_streams_for_this_user_is_refused(guarded_mongod: PrivateMongod) -> None:
    with MongoClient[Any](guarded_mongod.uri) as administrator:
        require_change_stream(administrator["watched"])
        administrator.admin.command("createUser", "stranger", pwd="secret", roles=[{"role": "read", "db": "another"}])
        try:
            host, port = administrator.address or ("", 0)
            with (
                MongoClient[Any](host, port, username="stranger", password="secret", directConnection=True) as stranger,
                pytest.raises(StreamRefused, match="offers no change stream of watched"),
            ):
                require_change_stream(stranger["watched"])
        finally:
            administrator.admin.command("dropUser", "stranger")
