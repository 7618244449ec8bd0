"""What happens now and then, on real nodes: the parts have the rights for it, and do what they should.

That each right is used by then, test_rights.py looks up.
"""

from __future__ import annotations

from realcluster import audit
from realcluster.deployment import Deployment
from realcluster.occasions import Occasions

# What of the story alone has no occasion.
EXPECTED: dict[str, set[audit.Right]] = {
    "localmodel-agent": {
        ("get", "configmaps"),
        ("get", "localmodelnodes"),
        ("get", "serviceaccounts"),
        ("patch", "events"),
    },
    "localmodel-manager": {
        ("delete", "localmodelnodes"),
        ("get", "localmodelnodes"),
        ("get", "persistentvolumeclaims"),
        ("get", "persistentvolumes"),
        ("patch", "events"),
        ("patch", "localmodelnamespacecaches"),
        ("update", "localmodelnamespacecaches/status"),
    },
    "localmodel-webhook": {("patch", "secrets")},
}


def test_every_right_has_its_occasion(deployed: Deployment, occasions: Occasions) -> None:
    used = audit.used(deployed)
    assert {account: rights - used[account] for account, rights in EXPECTED.items()} == {
        account: set() for account in EXPECTED
    }


def test_an_old_certificate_was_renewed_and_is_trusted(deployed: Deployment, occasions: Occasions) -> None:
    """The API server asks the webhook, which must answer: its configuration for caches fails closed."""
    deployed.kubectl("-n", "localmodel-system", "rollout", "status", "deployment/localmodel-webhook", "--timeout=90s")
    deployed.kubectl("annotate", "localmodelnodegroup/workers", "asked=yes", "--overwrite", "--dry-run=server")
