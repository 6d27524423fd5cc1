"""Writes the schema of the chart's values, its copy of conf/luigi.cfg, and the table of values in docs/deploy.md."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from generated import ROOT, Page
from pipeline.context.config import Config

CHART = ROOT / "deploy" / "helm" / "git-lakehouse"

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "pattern": r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"}
FLAG: Schema = {"type": "boolean"}
FREE: Schema = {"type": "object"}
FREE_LIST: Schema = {"type": "array", "items": FREE}
WORDS: Schema = {"type": "array", "items": TEXT}
NAMES: Schema = {"type": "array", "items": NAME | {"minLength": 1}}
SECONDS: Schema = {"type": "integer", "minimum": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65_535}
QUANTITY: Schema = {"type": "string", "pattern": "^[0-9]+([.][0-9]+)?(Mi|Gi|Ti|Pi|M|G|T|P)$"}
QUANTITY_IF_ANY: Schema = {"anyOf": [QUANTITY, {"const": ""}]}
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = rf"{_BYTE}(\.{_BYTE}){{3}}/([12]?[0-9]|3[0-2])"
_V6 = "[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/([1-9]?[0-9]|1[01][0-9]|12[0-8])"
NETWORK: Schema = {"type": "string", "pattern": f"^({_V4}|{_V6})$"}
CRON: Schema = {"type": "string", "pattern": r"^(@[a-z]+|\S+( \S+){4})$"}

SECRETS_NAME = r"(?i)secret|password|token|access.?key|credential"
"""Spark settings of such names have no place in values, which anybody may read who may read the release."""


def closed(**properties: Schema) -> Schema:
    """An object with these properties and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


PEER = closed(
    ipBlock=closed(**{"cidr": NETWORK, "except": {"type": "array", "items": NETWORK}}) | {"required": ["cidr"]},
    namespaceSelector=FREE,
    podSelector=FREE,
)
"""Of a NetworkPolicy."""

PEERS: Schema = {"type": "array", "items": PEER}

RESOURCES = closed(requests=FREE, limits=FREE)

JOB: dict[str, Schema] = {
    "deadline": SECONDS,
    "retries": COUNT,
    "grace": SECONDS,
    "args": WORDS,
    "resources": RESOURCES,
}
"""What all Jobs have in values."""

CRON_JOB: dict[str, Schema] = JOB | {
    "enabled": FLAG,
    "suspend": FLAG,
    "schedule": CRON,
    "timeZone": TEXT,
    "startWithin": SECONDS,
    "history": closed(succeeded=COUNT, failed=COUNT),
}

VALUES: dict[str, Schema] = {
    "image": closed(
        repository=TEXT,
        tag=TEXT,
        pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
        pullSecrets=NAMES,
    ),
    "nightly": closed(crawlHosts={"type": "integer", "minimum": 1}, **CRON_JOB),
    "maintain": closed(**CRON_JOB),
    "luigid": closed(
        enabled=FLAG,
        address=TEXT,
        port=PORT,
        storage=closed(size=QUANTITY, storageClass=NAME, ephemeral=FLAG),
        resources=RESOURCES,
    ),
    "scratch": closed(
        kind={"enum": ["emptyDir", "ephemeral"]}, size=QUANTITY, request=QUANTITY_IF_ANY, storageClass=NAME
    ),
    "executors": closed(scratch=QUANTITY, request=QUANTITY_IF_ANY, canBeAway=COUNT),
    "init": closed(enabled=FLAG, resources=RESOURCES),
    "backfill": closed(enabled=FLAG, volume=FREE, **JOB),
    "submit": closed(enabled=FLAG, job=TEXT, jobsConfigMap=NAME, **JOB),
    "command": closed(**JOB),
    "training": closed(
        enabled=FLAG,
        image=TEXT,
        set=TEXT,
        gpus=COUNT,
        script=NAME,
        output=FREE,
        nodeSelector=FREE,
        tolerations=FREE_LIST,
        **JOB,
    ),
    "secrets": closed(
        kerberos=closed(secret=NAME, keytab=TEXT, principal=TEXT, krb5=TEXT),
        hdfsToken=closed(secret=NAME, key=TEXT),
        environment={
            "type": "array",
            "items": closed(name=TEXT, secret=NAME, key=TEXT) | {"required": ["name", "secret", "key"]},
        },
        files=NAMES,
    ),
    "hadoopConf": NAME,
    "networkPolicy": closed(
        enabled=FLAG,
        hdfs=PEERS,
        hdfsPorts={"type": "array", "items": PORT},
        apiServer={"type": "array", "items": closed(cidr=NETWORK, port=PORT) | {"required": ["cidr", "port"]}},
        publicPorts={"type": "array", "items": PORT},
        dns=PEER,
        monitoring=PEERS,
        extraEgress=FREE_LIST,
    ),
    "serviceAccounts": closed(annotations=FREE),
    "hostNetwork": FLAG,
    "priorityClass": NAME,
    "nodeSelector": FREE,
    "tolerations": FREE_LIST,
    "global": FREE,
}


def schema() -> Schema:
    """The whole schema."""
    config = configuration()
    definitions = config.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of git-lakehouse; scripts/chart_values.py writes this file",
        **closed(config=config, **VALUES),
        "$defs": definitions,
    }


def configuration() -> Schema:
    """The schema of the configuration, without what would be a secret in values."""
    found: Schema = _terse(Config.model_json_schema())
    definitions = found["$defs"]
    del definitions["HdfsSettings"]["properties"]["token"]
    definitions["FetchSection"]["properties"]["allowed_networks"]["items"] = NETWORK
    definitions["MetricsSection"]["properties"]["pushgateway"] |= {"not": {"type": "string", "pattern": "@"}}
    definitions["SparkSettings"]["properties"]["conf"] |= {"propertyNames": {"not": {"pattern": SECRETS_NAME}}}
    return found


def _terse(node: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same without titles and defaults, which are other words for what the keys and the code say."""
    if isinstance(node, list):
        return [_terse(member) for member in node]
    if not isinstance(node, dict):
        return deepcopy(node)
    return {
        key: {name: _terse(member) for name, member in value.items()}
        if key in ("properties", "$defs")
        else _terse(value)
        for key, value in node.items()
        if key not in ("title", "default")
    }


def schema_text() -> str:
    """The schema as a file."""
    return json.dumps(schema(), indent=1) + "\n"


def value_rows() -> Iterator[str]:
    """A row for each line of values.yaml with a value or a remark."""
    yield from ("| value | default | |", "| --- | --- | --- |")
    above: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        found = re.fullmatch(r"( *)(\w+):(?: +([^#]*[^# ]))?(?: +# (.+))?", line)
        if found is None:
            continue
        indent, key, default, remark = found.groups()
        above[len(indent) // 2 :] = [key]
        if default is not None or remark:
            shown = f"`{default}`" if default is not None else ""
            yield f"| `{'.'.join(above)}` | {shown} | {remark or ''} |"


PAGE = Page("docs/deploy.md", "scripts/chart_values.py", value_rows)

FILES: dict[str, Callable[[], str]] = {
    "values.schema.json": schema_text,
    "files/luigi.cfg": (ROOT / "conf" / "luigi.cfg").read_text,
}
"""Generated files of the chart, and what makes them."""

if __name__ == "__main__":
    for path, text in FILES.items():
        (CHART / path).write_text(text())
        sys.stdout.write(f"{path}: written\n")
    PAGE.write()
