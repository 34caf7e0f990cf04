"""Which programs trust whom in an injected pod: each, asked for a provider and for others.

What each is to say stands in docs/trust.md. The pods differ in whether the bundle is mounted
over the system's; each program is run with its container's variables, and with none.
"""

import asyncio
import re
import secrets
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.operator.running import trust_clients
from tests.operator.running.agents import FOR_EVER, container, pod
from tests.operator.running.stage import OURS, PROVIDER, PUBLIC, STRANGER, WELL_KNOWN
from tests.operator.running.trust_clients import KNOWN_ROOT, TRUSTED, UNTRUSTED, Program

from remora.testing.double import ProviderDouble
from remora.testing.double_tls import Authority
from remora.testing.kubelet import Image
from remora.testing.kubelet.image import python_folders
from remora_operator.ca.authority import new_key
from remora_operator.ca.serving import sign_serving

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),
]

SYSTEMS = "/etc/ssl/certs/ca-certificates.crt"
HOSTS = (PROVIDER, PUBLIC, STRANGER, WELL_KNOWN, OURS)
SYSTEMS_SOURCE = "/usr/local/share/ca-certificates/public.crt"
"""From which `update-ca-certificates` makes it."""

ROOT = "ISRG Root X1"
"""A public root that every bundle has; `WELL_KNOWN` shows a certificate as if by it."""

REPLACED = ("curl", "git", "openssl", *trust_clients.PYTHON_LIBRARIES, "uv", "java")
"""Variables name the whole bundle to them."""

ADDED = ("node", "deno", "bun")
"""Variables add our root to those that are compiled in."""

SYSTEM_READERS = {"curl", "wget", "git", "openssl", "urllib", "aiohttp", "openai", "bun"}
"""They read the system's bundle if nothing is said to them."""

ALL = (*REPLACED, *ADDED, "wget")
EVERYWHERE = [(overlay, variables) for overlay in (True, False) for variables in (True, False)]


def _ours(client):
    """By which host a client shows whether it believes our root: HTTP/2 alone is relayed."""
    return OURS if client == "grpcio" else PROVIDER


def _seemingly_well_known():
    """Make a certificate in the name of a public root, which has not signed it."""
    labelled = f'# Label: "{ROOT}".+?(-----BEGIN.+?-----END CERTIFICATE-----)'
    found = re.search(labelled, certifi.contents(), re.DOTALL)
    root = x509.load_pem_x509_certificate(found[1].encode())
    # Of the kind of the root's own key: others are not tried against it at all.
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key, now = new_key(), datetime.now(UTC)
    root_key = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    made = (
        x509.CertificateBuilder(subject_name=x509.Name([]), issuer_name=root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(WELL_KNOWN)]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_key), critical=False
        )
        .sign(other, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM), key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def _double(folder, name, certificate, key):
    """A server of a certificate that is made already."""
    file = folder / f"{name}.pem"
    file.write_bytes(key + certificate)
    authority = Authority([name])
    authority.context.load_cert_chain(file)
    return ProviderDouble(authority=authority)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(cluster):
    """The cluster, with servers of the two more certificates."""
    own = sign_serving(new_key(), [OURS], cluster.rotation, datetime.now(UTC), secrets.token_bytes)
    pairs = {WELL_KNOWN: _seemingly_well_known(), OURS: (own.certificate_pem, own.key_pem)}
    for name, (certificate, key) in pairs.items():
        cluster.others[name] = _double(cluster.folder, name, certificate, key)
    yield cluster
    for double in cluster.others.values():
        await double.aclose()


@pytest.fixture(scope="module")
def programs(request, tmp_path_factory):
    """All programs that can be run, and why others can't."""
    cache = request.config.cache

    def folder(name):
        return cache.mkdir(name) if cache is not None else tmp_path_factory.mktemp(name)

    found = [
        *trust_clients.system_programs(tmp_path_factory.mktemp("classes")),
        *trust_clients.npm_programs(folder("trust-npm")),
        *trust_clients.pip_programs(folder("trust-pip")),
    ]
    return [one for one in found if isinstance(one, Program)], [
        one for one in found if isinstance(one, str)
    ]


HOME = {"HOME": "/tmp"}  # noqa: S108 - the container's own
REWRITES = [
    "sh", "-c",
    "cp /run/remora/trust/ca.pem /usr/local/share/ca-certificates/remora.crt; "
    "update-ca-certificates; echo code $?; trap 'exit 0' TERM; sleep infinity & wait",
]  # fmt: skip


def _pod(overlay):
    return pod(
        f"overlay-{overlay}".lower(),
        container("app", FOR_EVER),
        container("rewriting", REWRITES, securityContext={"runAsUser": 0}),
        metadata={"annotations": {"remora.dev/trust-overlay": str(overlay).lower()}},
        terminationGracePeriodSeconds=2,
    )


async def _verdicts(running, program, variables, slots):
    """Run a program once, for all hosts."""
    own = {} if variables else {"only": {"PATH": "/usr/bin:/bin"}}
    hosts = HOSTS if variables else (PROVIDER, OURS, PUBLIC)
    argv = [*program.argv, *hosts]
    async with slots:
        done = await running.exec(
            "app",
            argv,
            environment={**HOME, **program.variables},
            timeout_s=120,
            **own,
        )
    nothing = f"it said {done.stdout + done.stderr}"
    silent = {(client, host): nothing for client in program.clients for host in HOSTS}
    return silent | program.verdicts(done.stdout)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(served, programs):
    """What every client says of every host, by overlay and variables; and the pods."""
    able, _ = programs
    folders = {folder for program in able for folder in program.readable}
    public = await asyncio.to_thread(Path(SYSTEMS).read_bytes) + served.public.ca_pem.encode()
    served.images["agent"] = Image(
        files={SYSTEMS: public, SYSTEMS_SOURCE: served.public.ca_pem.encode()},
        readable=(*python_folders(), trust_clients.FOLDER, *sorted(folders)),
    )
    slots, found = asyncio.Semaphore(2), {}
    async with AsyncExitStack() as stack:
        running = {}
        for overlay in (True, False):
            running[overlay], _ = await stack.enter_async_context(served.running(_pod(overlay)))
        for one in running.values():
            await one.running(120)
        for overlay, variables in EVERYWHERE:
            said = await asyncio.gather(
                *(_verdicts(running[overlay], one, variables, slots) for one in able)
            )
            found[overlay, variables] = {k: v for each in said for k, v in each.items()}
        yield found, running


@pytest.fixture
def verdict(matrix, programs):
    """Give what a client says of a host; skips where there is no such client."""

    def said(client, host, *, overlay, variables):
        found = matrix[0][overlay, variables]
        if not any(name == client for name, _ in found):
            pytest.skip("; ".join(programs[1]) or f"{client} can't be run")
        return found[client, host]

    return said


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "no overlay"])
@pytest.mark.parametrize("client", ALL)
async def test_providers_are_trusted_through_the_sidecar(verdict, client, overlay):
    found = verdict(client, _ours(client), overlay=overlay, variables=True)
    reached = client != "wget" or overlay  # variables say nothing to it
    assert found == (TRUSTED if reached else UNTRUSTED)


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "no overlay"])
@pytest.mark.parametrize("client", ALL)
async def test_public_hosts_stay_trusted(verdict, client, overlay):
    if client in ADDED:  # what is compiled in can't be added to: is it still there?
        assert verdict(client, WELL_KNOWN, overlay=overlay, variables=True) == KNOWN_ROOT
    else:
        assert verdict(client, PUBLIC, overlay=overlay, variables=True) == TRUSTED


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "no overlay"])
@pytest.mark.parametrize("client", ALL)
async def test_nobody_else_comes_to_be_trusted(verdict, client, overlay):
    assert verdict(client, STRANGER, overlay=overlay, variables=True) == UNTRUSTED


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "no overlay"])
@pytest.mark.parametrize("client", ALL)
async def test_without_variables_the_overlay_reaches_who_reads_the_systems_bundle(
    verdict, client, overlay
):
    found = verdict(client, _ours(client), overlay=overlay, variables=False)
    reached = overlay and client in SYSTEM_READERS
    assert found == (TRUSTED if reached else UNTRUSTED)
    if reached:
        assert verdict(client, PUBLIC, overlay=overlay, variables=False) == TRUSTED


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "no overlay"])
async def test_an_image_that_rewrites_its_bundle_needs_the_overlay_off(matrix, overlay):
    running = matrix[1][overlay]
    await running.until(lambda: "code" in running.log("rewriting"))
    rewritten = "code 0" in running.log("rewriting").splitlines()
    assert rewritten is not overlay, running.log("rewriting")
    for host in (PROVIDER, PUBLIC):  # either way: wget knows nothing but the system's bundle
        done = await running.exec(
            "rewriting", ["wget", "-nv", "-O", "/dev/null", f"https://{host}/"]
        )
        assert trust_clients.meaning(done.stderr) == TRUSTED, done.stderr
