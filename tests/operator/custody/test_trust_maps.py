"""The trust ConfigMaps: in every selected namespace, right, and gone when nobody needs them."""

import base64
import secrets

import pytest
from tests.operator.custody.staging import SYSTEM

from remora_operator.ca.authority import INTERCEPTION, make_root, new_key
from remora_operator.custody.trust_files import published_version

CERTIFICATES = "/apis/certificates.k8s.io"


def _path(namespace="team-a"):
    return f"/api/v1/namespaces/{namespace}/configmaps/remora-trust"


def _pem(cluster):
    root = make_root(new_key(), cluster.now, secrets.token_bytes, INTERCEPTION)
    return root.certificate_pem.decode()


def _map(cluster, name, **texts):
    cluster.api.put(f"{SYSTEM}/configmaps/{name}", {"data": texts})


async def _kept(cluster, **settings):
    replica = cluster.replica(**settings)
    await replica.custodian.keep()
    return replica


async def test_each_selected_namespace_has_one_and_no_other(cluster):
    cluster.namespaces |= {"team-b", "team-c"}
    replica = await _kept(cluster)
    assert cluster.trust("team-b")["data"] == cluster.trust("team-a")["data"]
    assert cluster.trust("team-d") is None
    assert cluster.trust()["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "remora-operator"
    }
    assert replica.metric("remora_operator_trust_maps") == 3
    assert replica.metric("remora_operator_trust_map_writes_total", what="created") == 3


async def test_only_metadata_is_read_of_what_is_as_it_should_be(cluster):
    replica = await _kept(cluster)
    cluster.api.requests.clear()
    await replica.custodian.keep()
    assert ("GET", _path()) not in cluster.api.requests
    assert ("GET", "/api/v1/configmaps") in cluster.api.requests
    assert "fieldSelector=metadata.name" in cluster.api.asked[-1]


@pytest.mark.parametrize(
    "drift",
    [
        {"data": {}},
        {"data": {"ca.pem": "-----"}},
        {"data": {"more.pem": "x"}},
        {"binaryData": {"truststore.p12": base64.b64encode(b"x").decode()}},
        {"metadata": {"annotations": None}},
    ],
    ids=["emptied", "changed", "a key more", "another truststore", "no annotations"],
)
async def test_drift_is_put_right_and_other_peoples_labels_stay(cluster, drift):
    replica = await _kept(cluster)
    before = cluster.trust()
    changed = {**before, **drift, "metadata": {**before["metadata"], **drift.get("metadata", {})}}
    changed["metadata"]["labels"] = {**before["metadata"]["labels"], "team": "a"}
    cluster.api.put(_path(), changed)
    await replica.custodian.keep()
    after = cluster.trust()
    assert (after["data"], after["binaryData"]) == (before["data"], before["binaryData"])
    assert after["metadata"]["labels"]["team"] == "a"
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert replica.metric("remora_operator_trust_map_writes_total", what="updated") == 1


async def test_a_new_leader_looks_at_each_and_writes_none(cluster):
    await _kept(cluster)
    written = len(cluster.writes())
    restarted = await _kept(cluster)
    assert len(cluster.writes()) == written
    assert restarted.metric("remora_operator_trust_maps") == 1


async def test_a_strangers_configmap_is_said_and_not_overwritten(cluster):
    cluster.api.put(_path(), {"data": {"ca.pem": "theirs"}})
    cluster.namespaces.add("team-b")
    replica = await _kept(cluster)
    assert cluster.trust()["data"] == {"ca.pem": "theirs"}
    assert "ConfigMap team-a/remora-trust: was not made by the operator" in replica.said
    assert cluster.trust("team-b") is not None
    cluster.namespaces.clear()
    await replica.custodian.keep()
    assert cluster.trust() is not None
    assert cluster.trust("team-b") is None


async def test_it_stays_until_the_last_injected_pod_is_over(cluster):
    replica = await _kept(cluster)
    injected = {"annotations": {"remora.dev/status": "{}"}}
    cluster.api.add_pod("team-a", "agent", metadata=injected)
    cluster.api.add_pod("team-a", "bystander")
    cluster.api.add_pod("team-a", "done", metadata=injected, status={"phase": "Succeeded"})
    cluster.namespaces.clear()
    await replica.custodian.keep()
    assert cluster.trust() is not None
    cluster.api.delete("/api/v1/namespaces/team-a/pods/agent")
    await replica.custodian.keep()
    assert cluster.trust() is None
    assert replica.metric("remora_operator_trust_map_writes_total", what="deleted") == 1


async def test_nothing_is_deleted_while_the_namespaces_are_not_known(cluster):
    replica = await _kept(cluster)
    cluster.namespaces = None
    await replica.custodian.keep()
    assert cluster.trust() is not None
    assert replica.said == ""


async def test_what_one_namespace_refuses_holds_up_no_other(cluster):
    cluster.namespaces.add("team-b")
    cluster.api.refuses = lambda method, path: (
        403 if method == "POST" and "team-a" in path else None
    )
    replica = await _kept(cluster)
    assert cluster.trust("team-b") is not None
    assert "check the operator's ClusterRole" in replica.said
    assert replica.metric("remora_operator_trust_maps") == 1


async def test_a_namespace_that_is_gone_is_no_problem(cluster):
    cluster.api.refuses = lambda method, path: (
        404 if method == "POST" and "team-a" in path else None
    )
    replica = await _kept(cluster)
    assert replica.said == ""


async def test_extra_bundles_are_trusted_by_agents_and_followed(cluster):
    extra = _pem(cluster)
    _map(cluster, "remora-extra-bundles", corporate=extra, broken="nothing")
    replica = await _kept(cluster)
    assert extra in cluster.trust()["data"]["bundle.pem"]
    assert extra not in cluster.trust()["data"]["ca.pem"]
    assert "remora-extra-bundles/broken holds no certificate" in replica.said
    other = _pem(cluster)
    _map(cluster, "remora-extra-bundles", corporate=other)
    await replica.custodian.keep()
    assert replica.said == ""
    assert other in cluster.trust()["data"]["bundle.pem"]
    assert extra not in cluster.trust()["data"]["bundle.pem"]


async def test_extra_bundles_that_can_not_be_read_do_not_vanish(cluster):
    extra = _pem(cluster)
    _map(cluster, "remora-extra-bundles", corporate=extra)
    replica = await _kept(cluster)
    cluster.api.refuses = lambda _, path: 500 if "extra-bundles" in path else None
    await replica.custodian.keep()
    assert extra in cluster.trust()["data"]["bundle.pem"]
    assert "trust: the API server answered GET" in replica.said


async def test_too_many_roots_are_said_and_what_was_written_stays(cluster):
    replica = await _kept(cluster)
    before = cluster.trust()
    _map(cluster, "remora-extra-bundles", much="".join(_pem(cluster) for _ in range(900)))
    await replica.custodian.keep()
    assert "extraBundles: the trust files have" in replica.said
    assert cluster.trust() == before


async def test_providers_roots_are_for_sidecars_and_only_where_wanted(cluster):
    upstream = _pem(cluster)
    _map(cluster, "remora-upstream-ca", mirror=upstream)
    replica = await _kept(cluster)
    assert "upstream-ca.pem" not in cluster.trust()["data"]
    replica.injection = type(replica.injection)(upstream_ca=True)
    await replica.custodian.keep()
    assert cluster.trust()["data"]["upstream-ca.pem"] == upstream
    assert upstream not in cluster.trust()["data"]["bundle.pem"]
    cluster.api.delete(f"{SYSTEM}/configmaps/remora-upstream-ca")
    await replica.custodian.keep()
    assert "wants roots" in replica.said or "want roots of providers" in replica.said


async def test_the_annotation_says_which_roots_a_namespace_has(cluster):
    replica = await _kept(cluster)
    said = cluster.trust()["metadata"]["annotations"]["remora.dev/trust-roots"]
    assert said == published_version(replica.custodian.rotation().roots)


async def test_cluster_trust_bundles_are_kept_where_the_configuration_says_so(cluster):
    replica = await _kept(cluster)
    path = f"{CERTIFICATES}/v1/clustertrustbundles"
    assert cluster.get(f"{path}/remora-ca") is None
    replica.injection = type(replica.injection)(trust_source="clusterTrustBundle")
    await replica.custodian.keep()
    assert replica.said == ""
    assert (
        cluster.get(f"{path}/remora-ca")["spec"]["trustBundle"]
        == (cluster.trust()["data"]["ca.pem"])
    )
    whole = cluster.get(f"{path}/remora-bundle")["spec"]["trustBundle"]
    assert whole.count("BEGIN CERTIFICATE") > 50
    written = len(cluster.writes())
    await replica.custodian.keep()
    assert len(cluster.writes()) == written
    cluster.api.put(f"{path}/remora-bundle", {
        **cluster.get(f"{path}/remora-bundle"), "spec": {"trustBundle": "x"},
    })  # fmt: skip
    await replica.custodian.keep()
    assert cluster.get(f"{path}/remora-bundle")["spec"]["trustBundle"] == whole


@pytest.mark.parametrize(
    ("lacks", "said"),
    [(("/v1/",), ""), (("/v1/", "/v1beta1/"), "this server has none; set trustSource")],
    ids=["a server with v1beta1", "a server without"],
)
async def test_older_servers_are_met_with_what_they_have(cluster, lacks, said):
    cluster.api.refuses = lambda _, path: (
        404 if any(path.startswith(f"{CERTIFICATES}{one}") for one in lacks) else None
    )
    replica = cluster.replica()
    replica.injection = type(replica.injection)(trust_source="clusterTrustBundle")
    await replica.custodian.keep()
    await replica.custodian.keep()
    assert said in replica.said
    assert bool(said) is bool(replica.said)
    assert cluster.trust() is not None


async def test_a_strangers_cluster_trust_bundle_is_not_overwritten(cluster):
    path = f"{CERTIFICATES}/v1/clustertrustbundles/remora-ca"
    cluster.api.put(path, {"spec": {"trustBundle": "theirs"}})
    replica = cluster.replica()
    replica.injection = type(replica.injection)(trust_source="clusterTrustBundle")
    await replica.custodian.keep()
    assert "ClusterTrustBundle remora-ca: was not made by the operator" in replica.said
    assert cluster.get(path)["spec"]["trustBundle"] == "theirs"
