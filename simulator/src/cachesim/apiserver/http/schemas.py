"""Schemas of the built-in kinds, as deep as `kubectl explain` is of use; fields that are not named stay allowed."""

from __future__ import annotations

from cachesim.apiserver.resources import JsonObject

META_NAME = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_TIME = "date-time"


def _text(description: str, *, format_: str = "") -> JsonObject:
    schema: JsonObject = {"type": "string", "description": description}
    return schema | ({"format": format_} if format_ else {})


def _number(description: str) -> JsonObject:
    return {"type": "integer", "format": "int32", "description": description}


def _flag(description: str) -> JsonObject:
    return {"type": "boolean", "description": description}


def _map(description: str) -> JsonObject:
    return {"type": "object", "additionalProperties": {"type": "string"}, "description": description}


def _list(description: str, items: JsonObject | None = None) -> JsonObject:
    return {"type": "array", "description": description, "items": items or {"type": "string"}}


def _object(description: str, **properties: JsonObject) -> JsonObject:
    schema: JsonObject = {"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": True}
    return schema | ({"properties": properties} if properties else {})


META_SCHEMA: JsonObject = _object(
    "What every object has.",
    name=_text("Unique among the objects of this kind, in the namespace if the kind has one."),
    generateName=_text("A prefix: the server appends letters until the name is unique."),
    namespace=_text("The namespace; empty for objects of the whole cluster."),
    labels=_map("Short texts that selectors choose by."),
    annotations=_map("Texts of any kind, for tools and people."),
    uid=_text("Identifies this object for ever, also beyond its deletion."),
    resourceVersion=_text("Changes with each write; sent back, it makes a write fail if another came between."),
    generation={
        "type": "integer",
        "format": "int64",
        "description": "Counts the changes of the spec.",
    },
    creationTimestamp=_text("When it was created.", format_=_TIME),
    deletionTimestamp=_text("When its deletion was asked for; it goes when its finalizers have gone.", format_=_TIME),
    deletionGracePeriodSeconds=_number("How long the deletion may take."),
    finalizers=_list("Who has to finish something before the object goes."),
    ownerReferences=_list("The objects that this one goes with.", {"type": "object"}),
    managedFields=_list("Which manager owns which fields.", {"type": "object"}),
)

_CONDITIONS = _list(
    "What is true of it now.",
    _object(
        "One condition.",
        type=_text("What the condition is about."),
        status=_text("True, False or Unknown."),
        reason=_text("Why, in one CamelCase word."),
        message=_text("Why, in words."),
        lastTransitionTime=_text("When the status last changed.", format_=_TIME),
    ),
)

_CONTAINER = _object(
    "One container.",
    name=_text("Unique in the pod."),
    image=_text("The image that it runs."),
    command=_list("The program and its first arguments."),
    args=_list("The arguments."),
    env=_list("Environment variables.", {"type": "object"}),
    resources=_object("What it asks for and may take."),
    volumeMounts=_list("Where volumes of the pod appear in it.", {"type": "object"}),
    workingDir=_text("Where it starts."),
)

BUILTIN_SCHEMAS: dict[str, JsonObject] = {
    "Pod": _object(
        "Containers that run together on one node.",
        spec=_object(
            "What shall run, and where it may.",
            containers=_list("They run together.", _CONTAINER),
            initContainers=_list("They run first, one after the other.", _CONTAINER),
            volumes=_list("What its containers can mount.", {"type": "object"}),
            nodeName=_text("The node that it is bound to."),
            nodeSelector=_map("Labels that its node must carry."),
            affinity=_object("Where it should or must run."),
            tolerations=_list("Taints that it bears.", {"type": "object"}),
            restartPolicy=_text("Always, OnFailure or Never."),
            serviceAccountName=_text("Who it is to the API."),
            terminationGracePeriodSeconds=_number("How long it has to end."),
        ),
        status=_object(
            "What runs.",
            phase=_text("Pending, Running, Succeeded, Failed or Unknown."),
            conditions=_CONDITIONS,
            podIP=_text("Its address."),
            containerStatuses=_list("The state of each container.", {"type": "object"}),
            initContainerStatuses=_list("The state of each init container.", {"type": "object"}),
        ),
    ),
    "Node": _object(
        "A machine of the cluster.",
        spec=_object(
            "How it may be used.",
            unschedulable=_flag("No new pods come to it."),
            taints=_list("What pods must tolerate.", {"type": "object"}),
        ),
        status=_object(
            "How it is.",
            capacity=_map("What it has."),
            allocatable=_map("What pods may take."),
            conditions=_CONDITIONS,
            addresses=_list("Where it is reached.", {"type": "object"}),
        ),
    ),
    "PersistentVolume": _object(
        "A piece of storage of the cluster.",
        spec=_object(
            "What it is.",
            capacity=_map("How much it holds."),
            accessModes=_list("How it can be mounted."),
            persistentVolumeReclaimPolicy=_text("What happens when its claim goes: Retain or Delete."),
            storageClassName=_text("The class that it belongs to."),
            mountOptions=_list("How the kubelet mounts it: ro and others."),
            claimRef=_object("The claim that it is for."),
            local=_object("A path on one node.", path=_text("The path.")),
            hostPath=_object("A path on whichever node.", path=_text("The path.")),
            nodeAffinity=_object("The nodes that can reach it."),
        ),
        status=_object("How it is.", phase=_text("Pending, Available, Bound, Released or Failed.")),
    ),
    "PersistentVolumeClaim": _object(
        "A namespace's hold on a piece of storage.",
        spec=_object(
            "What is asked for.",
            volumeName=_text("The volume that it is bound to."),
            accessModes=_list("How it shall be mounted."),
            storageClassName=_text("The class that is asked for."),
            resources=_object("How much is asked for."),
        ),
        status=_object("What was given.", phase=_text("Pending, Bound or Lost."), capacity=_map("How much it holds.")),
    ),
    "Namespace": _object("A space for names.", status=_object("How it is.", phase=_text("Active or Terminating."))),
    "Secret": _object(
        "Small values that are to be kept secret.",
        type=_text("What the values are for."),
        data=_map("The values, in base64."),
        stringData=_map("The values as plain text; written only."),
    ),
    "ConfigMap": _object("Small values.", data=_map("The values."), binaryData=_map("The values, in base64.")),
    "Event": _object(
        "Something that happened to an object.",
        involvedObject=_object("The object."),
        reason=_text("What happened, in one CamelCase word."),
        message=_text("What happened, in words."),
        type=_text("Normal or Warning."),
        count=_number("How often."),
        firstTimestamp=_text("When first.", format_=_TIME),
        lastTimestamp=_text("When last.", format_=_TIME),
    ),
    "Lease": _object(
        "Who holds something, and until when.",
        spec=_object(
            "The hold.",
            holderIdentity=_text("Who holds it."),
            leaseDurationSeconds=_number("How long a renewal lasts."),
            renewTime=_text("When it was last renewed.", format_=_TIME),
        ),
    ),
}
