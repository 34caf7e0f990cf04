"""The CAs' Secrets: made once, read by all, never replaced in silence."""

import asyncio
import json
import secrets
from datetime import timedelta

import pytest
from tests.operator.custody.staging import DAY_S, SYSTEM

from remora.errors import Unavailable
from remora_operator.ca.authority import INTERCEPTION, SERVING, make_root, new_key
from remora_operator.ca.rotation import Phase, begin
from remora_operator.ca.rotation_secret import read_rotation, secret_data
from remora_operator.ca.trust_bundle import parsed_roots

CA = f"{SYSTEM}/secrets/remora-ca"
INJECTED = {"annotations": {"remora.dev/status": "{}"}}


def _brought(cluster, kind=INTERCEPTION, **lives):
    """A CA as a person or cert-manager lays it out."""
    root = make_root(new_key(), cluster.now - timedelta(**lives), secrets.token_bytes, kind)
    return {"tls.crt": root.certificate_pem, "tls.key": root.key_pem}


def _root(replica):
    return replica.custodian.rotation().roots[0]


async def test_a_follower_waits_for_the_leader_and_then_has_the_same_root(cluster):
    leader, follower = cluster.replica(), cluster.replica(leads=False)
    await follower.custodian.keep()
    assert cluster.writes() == []
    assert "remora-ca: is awaited: the leader makes it" in follower.said
    assert not follower.custodian.is_ready
    with pytest.raises(Unavailable, match="remora-ca is awaited: the leader makes it"):
        follower.custodian.rotation()

    await leader.custodian.keep()
    await follower.custodian.keep()
    assert follower.said == ""
    assert follower.custodian.is_ready
    assert _root(follower) == _root(leader)


async def test_two_leaders_of_one_moment_end_with_one_root(cluster):
    both = [cluster.replica(), cluster.replica()]
    await asyncio.gather(*(one.custodian.keep() for one in both))
    await asyncio.gather(*(one.custodian.keep() for one in both))
    assert _root(both[0]) == _root(both[1])
    assert [one.said for one in both] == ["", ""]
    made = [path for method, path in cluster.writes() if method == "POST" and "secrets" in path]
    assert len(made) >= 4


@pytest.mark.parametrize("setting", ["selfManaged", "brought"])
async def test_a_root_that_was_brought_is_used(cluster, setting):
    data = _brought(cluster)
    cluster.put_secret("remora-ca", data)
    replica = cluster.replica(interception_ca=setting)
    await replica.custodian.keep()
    assert replica.said == ""
    assert replica.custodian.rotation().old.certificate_pem == data["tls.crt"]
    assert cluster.secret("remora-ca") == data


async def test_a_root_that_is_to_be_brought_is_never_made(cluster):
    replica = cluster.replica(interception_ca="brought")
    await replica.custodian.keep()
    assert cluster.get(CA) is None
    assert "a CA is to be brought, and there is none" in replica.said
    cluster.put_secret("remora-ca", _brought(cluster))
    await replica.custodian.keep()
    assert replica.custodian.is_ready


async def test_a_damaged_root_is_said_and_neither_used_nor_overwritten(cluster):
    data = _brought(cluster) | {"tls.key": b"", "tls.crt": b"no certificate"}
    cluster.put_secret("remora-ca", data)
    replica = cluster.replica()
    await replica.custodian.keep()
    assert "Secret remora-system/remora-ca: tls.crt: holds no certificate" in replica.said
    assert "Secret remora-system/remora-ca: tls.key: is missing" in replica.said
    assert cluster.secret("remora-ca") == data
    assert not replica.custodian.is_ready
    assert replica.metric("remora_operator_custody_problems", part="interception CA") == 2


async def test_damage_done_later_is_said_while_the_last_good_root_signs_on(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    root = _root(replica)
    damaged = cluster.secret("remora-ca") | {"tls.key": b"gone"}
    cluster.put_secret("remora-ca", damaged)
    await replica.custodian.keep()
    assert "tls.key: holds no private key" in replica.said
    assert "goes on with what it has read" in replica.said
    assert replica.custodian.is_ready
    assert _root(replica) == root
    assert cluster.secret("remora-ca") == damaged


async def test_a_deleted_root_is_put_back_from_memory_and_said(cluster, caplog):
    leader, follower = cluster.replica(), cluster.replica(leads=False)
    await leader.custodian.keep()
    await follower.custodian.keep()
    before = cluster.secret("remora-ca")
    cluster.api.delete(CA)
    await follower.custodian.keep()
    assert cluster.get(CA) is None
    await leader.custodian.keep()
    assert "is gone" in leader.said
    assert "find out who deleted it" in caplog.text
    after = cluster.secret("remora-ca")
    assert (after["tls.crt"], after["tls.key"]) == (before["tls.crt"], before["tls.key"])
    await leader.custodian.keep()
    assert leader.said == ""


@pytest.mark.parametrize("name", ["remora-ca", "remora-serving-ca"])
@pytest.mark.parametrize("with_record", [True, False], ids=["with the record", "without it"])
async def test_a_root_lost_while_no_replica_ran_is_not_replaced(cluster, name, with_record):
    await cluster.replica().custodian.keep()
    cluster.api.add_pod("team-a", "agent", metadata=INJECTED)
    cluster.api.delete(f"{SYSTEM}/secrets/{name}")
    if not with_record:  # what agents were given says that there was a root
        cluster.api.delete(f"{SYSTEM}/configmaps/remora-roots")
    trust = cluster.trust()
    restarted = cluster.replica()
    await restarted.custodian.keep()
    await restarted.custodian.keep()
    assert cluster.get(f"{SYSTEM}/secrets/{name}") is None
    assert f"{name}: is gone, and its root" in restarted.said
    assert "`remora ca replace`" in restarted.said
    assert cluster.trust() == trust


async def test_after_an_uninstall_that_no_injected_pod_outlived_a_root_is_made(cluster):
    await cluster.replica().custodian.keep()
    for name in ("remora-ca", "remora-serving-ca", "remora-operator-tls"):
        cluster.api.delete(f"{SYSTEM}/secrets/{name}")
    cluster.api.delete(f"{SYSTEM}/configmaps/remora-roots")
    cluster.api.add_pod("team-a", "over", metadata=INJECTED, status={"phase": "Succeeded"})
    trust = cluster.trust()
    installed = cluster.replica()
    await installed.custodian.keep()
    await installed.custodian.keep()
    assert installed.said == ""
    assert cluster.get(CA) is not None
    assert cluster.trust() != trust


async def test_a_strangers_root_is_not_signed_with(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    root, trust = _root(replica), cluster.trust()
    cluster.put_secret("remora-ca", _brought(cluster))
    await replica.custodian.keep()
    assert "holds another root" in replica.said
    assert _root(replica) == root
    restarted = cluster.replica()
    await restarted.custodian.keep()
    assert "holds another root" in restarted.said
    assert not restarted.custodian.is_ready
    assert cluster.trust() == trust


async def test_a_root_renewed_with_its_key_is_taken_over(cluster):
    data = _brought(cluster, days=300)
    cluster.put_secret("remora-ca", data)
    replica = cluster.replica()
    await replica.custodian.keep()
    old = replica.custodian.rotation().old
    renewed = make_root(old.key, cluster.now, secrets.token_bytes, INTERCEPTION)
    cluster.put_secret("remora-ca", {**data, "tls.crt": renewed.certificate_pem})
    await replica.custodian.keep()
    assert replica.said == ""
    assert _root(replica) == renewed.root
    assert cluster.trust()["data"]["ca.pem"].encode() == renewed.certificate_pem


async def test_an_expired_root_that_is_known_is_read_and_said(cluster):
    cluster.put_secret("remora-ca", _brought(cluster, days=5 * 365 - 10))
    await cluster.replica().custodian.keep()
    cluster.clock.advance(11 * DAY_S)
    restarted = cluster.replica()
    await restarted.custodian.keep()
    assert "no sidecar gets a certificate any more" in restarted.said
    assert restarted.custodian.is_ready
    cluster.api.delete(f"{SYSTEM}/configmaps/remora-roots")
    unknown = cluster.replica()
    await unknown.custodian.keep()
    assert "remora-ca: tls.crt:" in unknown.said
    assert not unknown.custodian.is_ready


async def test_a_rotation_that_somebody_else_begins_is_seen_by_every_replica(cluster):
    leader, follower = cluster.replica(), cluster.replica(leads=False)
    await leader.custodian.keep()
    new = make_root(new_key(), cluster.now, secrets.token_bytes, INTERCEPTION)
    published = begin(leader.custodian.rotation(), new, cluster.now, secrets.token_bytes)
    cluster.put_secret("remora-ca", secret_data(published))
    for one in (leader, follower):
        await one.custodian.keep()
        assert one.custodian.rotation().phase is Phase.PUBLISHED
        assert one.said == ""
    assert cluster.trust()["data"]["ca.pem"].count("BEGIN CERTIFICATE") == 2
    assert leader.metric("remora_operator_ca_roots", ca="interception") == 2


async def test_metrics_say_when_the_cas_end(cluster):
    replica = cluster.replica()
    assert replica.metric("remora_operator_ca_not_after_seconds", ca="interception") is None
    await replica.custodian.keep()
    for name, secret in (("interception", "remora-ca"), ("serving", "remora-serving-ca")):
        [root] = parsed_roots(cluster.secret(secret)["tls.crt"])
        said = replica.metric("remora_operator_ca_not_after_seconds", ca=name)
        assert said == root.not_valid_after_utc.timestamp()


async def test_the_serving_ca_renews_itself_before_its_end(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    first = cluster.secret("remora-serving-ca")["tls.crt"]
    cluster.clock.advance((5 * 365 - 89) * DAY_S)
    phases, bundles = [], []
    for _ in range(45):
        await replica.custodian.keep()
        data = cluster.secret("remora-serving-ca")
        phases.append(json.loads(data["rotation.json"])["phase"])
        bundles.append(cluster.bundles()[0].count(b"BEGIN CERTIFICATE"))
        cluster.clock.advance(240 if len(phases) < 5 else DAY_S)
    changes = [phase for at, phase in enumerate(phases) if at == 0 or phases[at - 1] != phase]
    assert changes == ["published", "switched", "steady"]
    assert set(zip(phases, bundles, strict=True)) == {
        ("steady", 1), ("published", 2), ("switched", 2)
    }  # fmt: skip
    assert cluster.secret("remora-serving-ca")["tls.crt"] != first
    assert cluster.bundles()[0] == cluster.secret("remora-serving-ca")["ca.crt"]


def _serving_phase(cluster):
    return json.loads(cluster.secret("remora-serving-ca")["rotation.json"])["phase"]


async def test_the_serving_ca_does_not_move_on_while_a_namespace_lacks_its_roots(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    cluster.clock.advance((5 * 365 - 89) * DAY_S)
    cluster.namespaces.add("team-b")
    cluster.api.refuses = lambda _, path: 403 if "team-b" in path else None
    for _ in range(3):
        await replica.custodian.keep()
        assert _serving_phase(cluster) == "published"
        cluster.clock.advance(600)
    assert "ConfigMap team-b/remora-trust: the API server answered POST" in replica.said
    cluster.api.refuses = lambda _method, _path: None
    await replica.custodian.keep()
    cluster.clock.advance(170)
    await replica.custodian.keep()
    assert _serving_phase(cluster) == "published"  # pods may not have the files yet
    cluster.clock.advance(10)
    await replica.custodian.keep()
    assert _serving_phase(cluster) == "switched"


async def test_a_serving_ca_that_was_brought_is_not_rotated(cluster):
    data = _brought(cluster, SERVING, days=5 * 365 - 60)
    cluster.put_secret("remora-serving-ca", data)
    replica = cluster.replica()
    for _ in range(3):
        await replica.custodian.keep()
        cluster.clock.advance(600)
    assert cluster.secret("remora-serving-ca") == data
    assert "remora-serving-ca: ends at" in replica.said


async def test_a_conflict_is_settled_by_reading_again(cluster):
    """Somebody begins a rotation of the serving CA in the moment in which the leader does."""
    replica = cluster.replica()
    await replica.custodian.keep()
    cluster.clock.advance((5 * 365 - 89) * DAY_S)
    now = read_rotation(cluster.secret("remora-serving-ca"), cluster.now, SERVING)
    new = make_root(new_key(), cluster.now, secrets.token_bytes, SERVING)
    theirs = secret_data(begin(now, new, cluster.now, secrets.token_bytes))
    races = iter([True])

    def race(method, path):
        if method == "PUT" and path.endswith("/remora-serving-ca") and next(races, False):
            cluster.put_secret("remora-serving-ca", theirs)

    cluster.api.refuses = race
    await replica.custodian.keep()
    assert not next(races, False)
    assert cluster.secret("remora-serving-ca") == theirs
    assert cluster.bundles()[0].count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("status", [403, 500])
async def test_a_refusal_is_said_and_a_missing_right_named(cluster, status):
    replica = cluster.replica()
    cluster.api.refuses = lambda _, path: status if path.endswith("/remora-ca") else None
    await replica.custodian.keep()
    assert f"interception CA: the API server answered GET {CA} with {status}" in replica.said
    assert cluster.get(CA) is None
    assert cluster.get(f"{SYSTEM}/secrets/remora-operator-tls") is not None


async def test_what_is_not_read_is_not_made_either(cluster):
    """A root is made only where the record is known to be empty."""
    replica = cluster.replica()
    cluster.api.refuses = lambda _, path: 500 if path.endswith("/remora-roots") else None
    await replica.custodian.keep()
    assert cluster.writes() == []
    assert "answered GET" in replica.said
