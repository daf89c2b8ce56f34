"""What docker/compose.yaml must not forget: nobody is root or writes, each has what it needs and nobody else's, and every
address in Cloakroom's configuration is a neighbour of Cloakroom.

    python compose.py docker/compose.yaml docker/cloakroom.toml
"""

import pathlib
import sys
import tomllib
import urllib.parse

import yaml


def check(path, config):
    compose = yaml.safe_load(path.read_text())
    services, networks = compose["services"], compose["networks"]
    proxy = services["cloakroom"]
    for name, service in services.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and service["user"] not in ("root", "0"), name
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            assert source in compose["volumes"] or (path.parent / source).is_file() and rest.endswith(":ro"), volume
        assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
        if name != "cloakroom":
            assert "ports" not in service and "root" not in service.get("secrets", []), name
            (network,) = service["networks"]
            assert networks[network] == {"internal": True}, network
            sharing = {other for other, where in services.items() if network in where["networks"]}
            assert sharing == {"cloakroom", name}, sharing
    users = [service["user"] for service in services.values()]
    assert len(set(users)) == len(users), users
    applications = 0
    for upstream, settings in config["upstreams"].items():
        for server in settings["servers"]:
            service = services[urllib.parse.urlsplit(server).hostname]
            assert service["networks"][0] in proxy["networks"]
            assert service["environment"].get("AUDIENCE", "app") == upstream, upstream
            applications += 1
    assert applications == 3 and urllib.parse.urlsplit(config["store"]["url"]).hostname in services
    keys = {key["file"] for key in [*config["token"]["keys"], *config["keys"]["root"]]}
    assert keys == {f"/run/secrets/{secret}" for secret in proxy["secrets"]}


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as file:
        check(pathlib.Path(sys.argv[1]), tomllib.load(file))
