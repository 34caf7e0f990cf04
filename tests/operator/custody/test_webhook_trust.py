"""The webhook's caBundle: right, never empty, and right again within seconds."""

import base64
import itertools
import secrets

import pytest
from tests.operator.custody.staging import WEBHOOKS

from remora_operator.ca.authority import SERVING, make_root, new_key
from remora_operator.ca.rotation import begin
from remora_operator.ca.rotation_secret import read_rotation, secret_data
from remora_operator.ca.serving import ca_bundle
from remora_operator.custody.webhook_trust import WebhookTrust


def _patches(cluster):
    return [one for one in cluster.writes() if one == ("PATCH", WEBHOOKS)]


async def test_only_a_follower_leaves_it_alone(cluster):
    follower = cluster.replica(leads=False)
    await follower.custodian.keep()
    assert _patches(cluster) == []
    assert cluster.bundles() == [b"", b""]


async def test_it_is_written_once_and_everything_else_of_an_entry_stays(cluster):
    before = cluster.get(WEBHOOKS)["webhooks"]
    replica = cluster.replica()
    for _ in range(3):
        await replica.custodian.keep()
    assert len(_patches(cluster)) == 1
    after = cluster.get(WEBHOOKS)["webhooks"]
    for old, new in zip(before, after, strict=True):
        bundle = new["clientConfig"].pop("caBundle")
        assert base64.b64decode(bundle) == cluster.secret("remora-serving-ca")["ca.crt"]
        assert new == old


@pytest.mark.parametrize(
    "reset",
    [("", ""), ("AAAA", ""), ("", "", "")],
    ids=["emptied", "another bundle", "an entry more"],
)
async def test_what_a_gitops_tool_sets_back_is_put_right(cluster, reset):
    replica = cluster.replica()
    await replica.custodian.keep()
    cluster.put_webhooks(*reset)
    await replica.custodian.keep()
    root = cluster.secret("remora-serving-ca")["ca.crt"]
    assert cluster.bundles() == [root] * len(reset)


async def test_it_holds_old_and_new_root_while_there_are_two(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    now = read_rotation(cluster.secret("remora-serving-ca"), cluster.now, SERVING)
    new = make_root(new_key(), cluster.now, secrets.token_bytes, SERVING)
    both = begin(now, new, cluster.now, secrets.token_bytes)
    cluster.put_secret("remora-serving-ca", secret_data(both))
    await replica.custodian.keep()
    assert cluster.bundles() == [ca_bundle(both)] * 2
    assert now.old.certificate_pem in cluster.bundles()[0]
    assert new.certificate_pem in cluster.bundles()[0]


async def test_somebody_elses_change_of_the_same_moment_is_not_lost(cluster):
    races = iter([True])

    def race(method, path):
        if method == "PATCH" and path == WEBHOOKS and next(races, False):
            cluster.put_webhooks("", "", "")

    cluster.api.refuses = race
    replica = cluster.replica()
    await replica.custodian.keep()
    assert cluster.bundles() == [cluster.secret("remora-serving-ca")["ca.crt"]] * 3
    assert replica.said == ""


async def test_who_always_interferes_is_said(cluster):
    turns = itertools.count(3)

    def race(method, path):
        if method == "PATCH" and path == WEBHOOKS:
            cluster.put_webhooks(*[""] * next(turns))

    cluster.api.refuses = race
    replica = cluster.replica()
    await replica.custodian.keep()
    assert "remora-injector: is written by somebody else again and again" in replica.said


async def test_a_missing_configuration_is_said(cluster):
    cluster.api.delete(WEBHOOKS)
    replica = cluster.replica()
    await replica.custodian.keep()
    assert "MutatingWebhookConfiguration remora-injector: is not there" in replica.said
    assert replica.custodian.is_ready


async def test_it_is_never_made_empty(cluster):
    with pytest.raises(ValueError, match="never made empty"):
        await WebhookTrust(cluster.server, "remora-injector").keep(b"")
    cluster.put_secret("remora-serving-ca", {"tls.crt": b"damaged", "tls.key": b""})
    cluster.put_webhooks("AAAA")
    await cluster.replica().custodian.keep()
    assert _patches(cluster) == []


async def test_with_cert_manager_it_is_left_to_the_cainjector(cluster):
    replica = cluster.replica(webhook_certificate="certManager")
    await replica.custodian.keep()
    assert _patches(cluster) == []
    assert "has no caBundle for 0.injector.remora.dev, 1.injector.remora.dev" in replica.said
    cluster.put_webhooks("AAAA", "AAAA")
    await replica.custodian.keep()
    assert "caBundle" not in replica.said
