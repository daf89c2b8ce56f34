"""What deploy/kubernetes must not forget, beyond what a schema can say. Prints the configuration that it carries.

    python manifests.py sidecar.yaml > cloakroom.toml
"""

import sys
import tomllib

import yaml


def seconds(text):
    assert text.endswith("s"), text
    return int(text[:-1])


def check(documents):
    kinds = {document["kind"]: document for document in documents}
    assert len(kinds) == len(documents) >= 5, kinds.keys()
    text = kinds["ConfigMap"]["data"]["cloakroom.toml"]
    config = tomllib.loads(text)
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    containers = {container["name"]: container for container in pod["containers"]}
    proxy, application = containers["cloakroom"], containers["shop"]
    hardened(pod, containers)
    probes(proxy, config)
    secrets(pod, proxy, application, config)
    ending(pod, application, config)
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        kinds["Deployment"]["spec"]["selector"]["matchLabels"],
        kinds["Service"]["spec"]["selector"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels, selector
    assert all(server.startswith("http://127.0.0.1:") for server in config["upstreams"]["app"]["servers"])
    assert {"name": "HOST", "value": "127.0.0.1"} in application["env"], "the application must not listen for others"
    return text


def hardened(pod, containers):
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    users = set()
    for container in containers.values():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]} and context["runAsUser"] > 0
        assert "memory" in container["resources"]["limits"] and not container["image"].endswith(":latest")
        users.add(context["runAsUser"])
    assert len(users) == len(containers), "one of them could read the other's memory and secrets"


def probes(proxy, config):
    ports = {port["name"]: port["containerPort"] for port in proxy["ports"]}
    assert ports["admin"] == int(config["admin"]["address"].rpartition(":")[2])
    assert ports["http"] == int(config["listen"]["address"].rpartition(":")[2])
    paths = {probe: proxy[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert all(proxy[probe]["httpGet"]["port"] == "admin" for probe in paths)


def secrets(pod, proxy, application, config):
    """Each file that the configuration names is there, for those who may have it."""

    def files(container):
        found = set()
        for mount in container["volumeMounts"]:
            assert mount["readOnly"] is True
            volume = next(volume for volume in pod["volumes"] if volume["name"] == mount["name"])
            sources = volume.get("projected", {}).get("sources", []) or [volume]
            for source in sources:
                items = source.get("secret", {}).get("items", [])
                found |= {f"{mount['mountPath']}/{item['path']}" for item in items}
            if "configMap" not in volume:
                mode = volume.get("projected", volume.get("secret"))["defaultMode"]
                assert mode == 0o440, f"{volume['name']}: {mode:o}"
        return found

    named = {key["file"] for key in [*config["token"]["keys"], *config["keys"]["root"]]}
    assert files(proxy) == named, files(proxy)
    key = next(entry["value"] for entry in application["env"] if entry["name"] == "CLOAKROOM_TOKEN_KEY_FILE")
    assert files(application) == {key} and key.endswith("/token-k1")
    assert pod["securityContext"]["fsGroup"] > 0


def ending(pod, application, config):
    """The application outlives the proxy's drain, and the pod's grace both."""
    drain = seconds(config["drain"]["delay"]) + seconds(config["drain"]["timeout"])
    outlives = application["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain < outlives < pod["terminationGracePeriodSeconds"], (drain, outlives)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print(check([document for document in yaml.safe_load_all(file) if document]))
