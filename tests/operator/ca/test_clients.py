"""What real TLS libraries make of our certificates: constraints, chains, a change of roots.

A thief of a sidecar's key can sign what he likes; whether it is believed is decided here.
"""

import importlib.util
import secrets
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remora_operator.ca.authority import INTERCEPTION, make_root, new_key
from remora_operator.ca.intermediate import sign_intermediates
from remora_operator.ca.rotation import begin, steady, switch
from remora_sidecar.interceptor.certificates import Issuer, make_leaf


def _beside(name):
    """Import a module of this folder: folders of tests are no packages."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


tls = _beside("tls_clients")

HOST = "api.openai.com"
OTHER = "api.anthropic.com"
ADDRESS = "127.0.0.1"


class Pki:
    """A root and the intermediate of a pod that may serve one host."""

    def __init__(self):  # noqa: D107
        self.now = datetime.now(UTC)
        self.root = self.new_root()
        self.key = new_key()
        self.intermediate = self.signed_by(self.root)

    def new_root(self):
        return make_root(new_key(), self.now - timedelta(days=2), secrets.token_bytes, INTERCEPTION)

    def signed_by(self, authority, hosts=(HOST, "*.openai.azure.com")):
        public = self.key.public_key()
        [made] = sign_intermediates(public, hosts, authority, self.now, secrets.token_bytes)
        return made.certificate

    def leaf(self, host=HOST, intermediate=None):
        """A leaf as sidecars make it, and its chain; signed for the intermediate's own key."""
        issuer = Issuer(intermediate or self.intermediate, self.key)
        return make_leaf(host, self.key.public_key(), issuer, self.now)

    def forged(self, *names, **more):
        return tls.forged_leaf(self.intermediate, self.key, names, key=self.key, **more)

    def below_a_forged_ca(self, name):
        key = new_key()
        ca = tls.forged_leaf(
            self.intermediate, self.key, (), common_name="another CA", key=key, ca=True
        )
        leaf = tls.forged_leaf(ca, key, (name,), key=self.key)
        return [leaf, ca, self.intermediate]


@pytest.fixture(scope="module")
def pki():
    return Pki()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module", params=tls.CLIENTS)
def client(request, folder):
    made = tls.make_client(request.param, folder)
    if isinstance(made, str):
        pytest.skip(made)
    return made


@pytest.fixture(scope="module")
def said(client, pki, folder):
    """What a client says of each chain that is served."""
    chains = {
        "its host": (HOST, [pki.leaf(), pki.intermediate]),
        "below its wildcard": (
            "eu.openai.azure.com",
            [pki.leaf("eu.openai.azure.com"), pki.intermediate],
        ),
        "its host, as a thief writes it": (HOST, [pki.forged(HOST), pki.intermediate]),
        "another host": (OTHER, [pki.forged(OTHER), pki.intermediate]),
        "its host and another": (HOST, [pki.forged(HOST, OTHER), pki.intermediate]),
        "another host beside its own": (OTHER, [pki.forged(HOST, OTHER), pki.intermediate]),
        "its host and an address": (HOST, [pki.forged(HOST, ADDRESS), pki.intermediate]),
        "an address": (ADDRESS, [pki.forged(ADDRESS), pki.intermediate]),
        "an IPv6 address beside its host": (HOST, [pki.forged(HOST, "::1"), pki.intermediate]),
        "another host as common name alone": (
            OTHER,
            [pki.forged(common_name=OTHER), pki.intermediate],
        ),
        "a parent of its host": ("openai.com", [pki.forged("openai.com"), pki.intermediate]),
        "a name that ends alike": (
            "evilapi.openai.com",
            [pki.forged("evilapi.openai.com"), pki.intermediate],
        ),
        "every host": (OTHER, [pki.forged("*.com"), pki.intermediate]),
        "a CA below, for its host": (HOST, pki.below_a_forged_ca(HOST)),
        "a CA below, for another": (OTHER, pki.below_a_forged_ca(OTHER)),
    }
    trust = tls.Trust.write(folder, "root", [pki.root.root])
    return dict(zip(chains, _asked(client, folder, chains.values(), pki.key, trust), strict=True))


def _asked(client, folder, chains, key, trust):
    with ExitStack() as stack:
        targets = [
            (stack.enter_context(tls.serving(folder, chain, key)), host) for host, chain in chains
        ]
        return client(targets, trust)


@pytest.mark.parametrize(
    "what", ["its host", "below its wildcard", "its host, as a thief writes it"]
)
def test_hosts_of_the_policy_are_believed(said, what):
    assert said[what] == "ok"


@pytest.mark.parametrize(
    "what",
    [
        "another host",
        "its host and another",
        "another host beside its own",
        "its host and an address",
        "an address",
        "an IPv6 address beside its host",
        "another host as common name alone",
        "a parent of its host",
        "a name that ends alike",
        "every host",
        "a CA below, for its host",
        "a CA below, for another",
    ],
)
def test_nothing_else_is_believed_that_a_stolen_key_signs(said, what):
    assert said[what].startswith("refused")


@pytest.mark.parametrize("knows", ["the old root", "the new root", "both"])
def test_a_change_of_roots_needs_no_restart(client, pki, folder, knows):
    new = pki.new_root()
    published = begin(steady(pki.root, INTERCEPTION, pki.now), new, pki.now, secrets.token_bytes)
    rotation = switch(published, pki.now, force=True)
    roots = {"the old root": [pki.root.root], "the new root": [new.root], "both": rotation.roots}
    trust = tls.Trust.write(folder, knows.replace(" ", "-"), roots[knows])
    intermediate = pki.signed_by(rotation.signer)
    chain = [pki.leaf(intermediate=intermediate), intermediate, *rotation.links]
    older = [pki.leaf(), pki.intermediate]
    chains = [(HOST, chain)] if knows == "the new root" else [(HOST, chain), (HOST, older)]
    assert set(_asked(client, folder, chains, pki.key, trust)) == {"ok"}


def test_a_strangers_root_is_not_believed(client, pki, folder):
    trust = tls.Trust.write(folder, "stranger", [pki.new_root().root])
    [answer] = _asked(client, folder, [(HOST, [pki.leaf(), pki.intermediate])], pki.key, trust)
    assert answer.startswith("refused")


def test_many_hosts_are_served_from_intermediates_of_each_their_own(client, pki, folder):
    hosts = [f"h{number}.example.com" for number in range(90)] + ["my_llm.ns.svc"]
    made = sign_intermediates(pki.key.public_key(), hosts, pki.root, pki.now, secrets.token_bytes)
    trust = tls.Trust.write(folder, "many", [pki.root.root])
    assert len(made) == 3
    assert made[-1].constraints[-1] == "my_llm.ns.svc"  # Java knows no such name: it spoils nothing
    chains = []
    for one in made:
        host = one.constraints[0]
        chains.append((host, [pki.leaf(host, one.certificate), one.certificate]))
    assert _asked(client, folder, chains, pki.key, trust) == ["ok"] * 3
