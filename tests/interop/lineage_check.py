"""The forms of `netsec lineage` for other programs, held against its tree (`--format json`).

    python tests/interop/lineage_check.py NETSEC FOLDER

NETSEC is the program; FOLDER is where the workspace is made (it is emptied first). Packages:
tests/interop/requirements.txt. Runs pipelines/default.yaml, then asks what the champion was made of and what was made
of the rows. PROV-JSON is read by `prov` and walked by networkx, OpenLineage by the classes of openlineage-python and a
JSON Schema, DOT by Graphviz if it is there. Prints a line for each check, and ends with 1 at the first that differs.
"""

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter, defaultdict
from datetime import datetime
from itertools import chain
from pathlib import Path

import networkx
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (column_lineage_dataset, data_quality_assertions_dataset,
                                         data_quality_metrics_input_dataset, dataset_version_dataset, job_type_job,
                                         parent_run, schema_dataset, source_code_job)
from prov.model import ProvActivity, ProvDocument, ProvEntity, ProvGeneration, ProvUsage

NETSEC, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
ROOT = Path(__file__).resolve().parents[2]
FACETS = {
    "jobType": job_type_job.JobTypeJobFacet,
    "parent": parent_run.ParentRunFacet,
    "sourceCode": source_code_job.SourceCodeJobFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "schema": schema_dataset.SchemaDatasetFacet,
    "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet,
    "dataQualityMetrics": data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet,
    "dataQualityAssertions": data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet,
}
# The nodes and the edges of a drawing; `plain` is what Graphviz makes of DOT.
DRAWN = {
    "dot": (r'^  ([af]\w+) \[.*label="(?:[^"\\]|\\.)*"\];$', r"^  (\w+) -> (\w+);$"),
    "plain": (r"^node (\w+) ", r"^edge (\w+) (\w+) "),
    "mermaid": (r'^  (\w+)\(?\["[^"]*"\]\)?$', r"^  (\w+) --> (\w+)$"),
}


def whole(**properties):
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def many(items):
    return {"type": "array", "items": items}


URI, TEXT = {"type": "string", "format": "uri"}, {"type": "string", "minLength": 1}
FACET = {"type": "object", "properties": {"_producer": URI, "_schemaURL": URI}, "required": ["_producer", "_schemaURL"]}
SOME_FACETS = {"type": "object", "additionalProperties": FACET}
# RunEvent of the specification 2-0-2, as far as netsec writes it; what the specification leaves open must be there.
EVENT = whole(
    eventType={"enum": ["START", "COMPLETE"]},
    eventTime={"type": "string", "format": "date-time"},
    producer=URI,
    schemaURL=URI | {"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
    run=whole(runId={"type": "string", "format": "uuid"}, facets=SOME_FACETS),
    job=whole(namespace=TEXT, name=TEXT, facets=SOME_FACETS),
    inputs=many(whole(namespace=TEXT, name=TEXT, facets=SOME_FACETS, inputFacets=SOME_FACETS)),
    outputs=many(whole(namespace=TEXT, name=TEXT, facets=SOME_FACETS)),
)
# A format whose package is missing is a KeyError here; by default it would go unchecked.
EVENTS = Draft202012Validator(EVENT, format_checker=FormatChecker(["date-time", "uri", "uuid"]))


def run(*words, **more):
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, encoding="utf-8", **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}{done.stdout}")
    return done.stdout


def same(what, told, wanted):
    told, wanted = Counter(iter(told)), Counter(iter(wanted))
    if told != wanted:
        sys.exit(f"{what}: too much: {list(told - wanted)[:3]}, missing: {list(wanted - told)[:3]}")
    print(f"{what}: {told.total()}", flush=True)


def artifact(node):
    return f"artifact-{node['digest']}"


def action(node):
    return f"action-{node['action']['key']}"


def nodes(tree):
    """Each artifact of a tree, as often as it is named there."""
    yield tree
    made = chain.from_iterable(use["outputs"] for use in tree.get("uses", []))
    for node in chain(tree.get("inputs", []), made):
        yield from nodes(node)


def graph_of(tree):
    """The graph of a tree: edges lead from what was there to what came of it."""
    graph, full, repeated = networkx.DiGraph(), set(), set()
    graph.add_node(artifact(tree))
    for node in nodes(tree):
        maker = action(node) if node.get("action") else None
        if maker:
            graph.add_edge(maker, artifact(node))
        graph.add_edges_from((artifact(used), maker) for used in node.get("inputs", []))
        for use in node.get("uses", []):
            graph.add_edge(artifact(node), action(use))
            graph.add_edges_from((action(use), artifact(made)) for made in use["outputs"])
        (repeated if node["repeated"] else full).add((artifact(node), maker))
    if not repeated <= full:
        sys.exit(f"repeated, but nowhere in full: {list(repeated - full)[:3]}")
    return graph


def check_prov(text, tree, graph, reachable):
    with warnings.catch_warnings(action="error"):
        # What it cannot read, such as a time, it would leave out with a warning.
        document = ProvDocument.deserialize(content=text, format="json")
    things = [record.identifier.localpart for record in document.get_records((ProvEntity, ProvActivity))]
    same("  PROV entities and activities", things, graph.nodes)
    # An entity was generated by an activity, an activity used an entity: what came of it stands first.
    pairs = [record.args[:2] for record in document.get_records((ProvGeneration, ProvUsage))]
    flows = [(source.localpart, to.localpart) for to, source in pairs]
    same("  PROV wasGeneratedBy and used", flows, graph.edges)
    walked = networkx.DiGraph(flows)
    walked.add_nodes_from(things)
    found = reachable(walked, artifact(tree))
    same(f"  PROV {reachable.__name__} of {artifact(tree)[:21]}", found, set(graph.nodes) - {artifact(tree)})


def facets(told):
    made = {}
    for name, facet in told.items():
        words = {key: value for key, value in facet.items() if not key.startswith("_")}
        if name == "parent":
            words = {"run": parent_run.Run(**words["run"]), "job": parent_run.Job(**words["job"])}
        if name == "schema":
            words = {"fields": [schema_dataset.SchemaDatasetFacetFields(**field) for field in words["fields"]]}
        if name == "columnLineage":
            words = {"fields": {column: column_lineage_dataset.Fields(
                inputFields=[column_lineage_dataset.InputField(**field) for field in origins["inputFields"]])
                for column, origins in words["fields"].items()}}
        if name == "dataQualityAssertions":
            words = {"assertions": [data_quality_assertions_dataset.Assertion(**rule) for rule in words["assertions"]]}
        made[name] = FACETS[name](producer=facet["_producer"], **words)
    return made


def with_facets(kind, told):
    told = {name: facets(value) if name in ("facets", "inputFacets") else value for name, value in told.items()}
    return kind(**told)


def run_event(told):
    return RunEvent(
        eventType=RunState(told["eventType"]),
        eventTime=told["eventTime"],
        producer=told["producer"],
        run=with_facets(Run, told["run"]),
        job=with_facets(Job, told["job"]),
        inputs=[with_facets(InputDataset, dataset) for dataset in told["inputs"]],
        outputs=[with_facets(OutputDataset, dataset) for dataset in told["outputs"]],
    )


def check_openlineage(text, graph):
    lines = [json.loads(line) for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        for error in EVENTS.iter_errors(line):
            sys.exit(f"  OpenLineage, line {number}: {error.json_path}: {error.message}")
    events = [run_event(line) for line in lines]
    print(f"  OpenLineage events of the schema: {len(events)}")
    # A run's id is the beginning of the action's key.
    actions = {node.removeprefix("action-")[:12]: node for node in graph.nodes if node.startswith("action-")}
    states, edges = defaultdict(list), set()
    for event in events:
        run_id = event.run.runId.replace("-", "")[:12]
        node = actions.get(run_id) or sys.exit(f"  OpenLineage: run {event.run.runId} is no action of the tree")
        states[node].append(event.eventType.name)
        edges |= {(f"artifact-{used.facets['version'].datasetVersion}", node) for used in event.inputs}
        edges |= {(node, f"artifact-{made.facets['version'].datasetVersion}") for made in event.outputs}
    same("  OpenLineage runs", states, actions.values())
    for node, of_run in states.items():
        if of_run != ["START", "COMPLETE"]:
            sys.exit(f"  OpenLineage: {node} has the events {of_run}")
    times = [datetime.fromisoformat(event.eventTime) for event in events]
    if times != sorted(times):
        sys.exit("  OpenLineage: the events are not in the order of their times")
    print(f"  OpenLineage runs with one START, then one COMPLETE, in the order of their times: {len(states)}")
    same("  OpenLineage inputs and outputs", edges, graph.edges)
    kinds = Counter(chain.from_iterable([*data.facets, *getattr(data, "inputFacets", [])]
                                        for event in events for data in [*event.inputs, *event.outputs]))
    kinds.update(chain.from_iterable(event.job.facets for event in events))
    for kind in ["sourceCode", "schema", "columnLineage", "dataQualityMetrics", "dataQualityAssertions"]:
        if not kinds[kind]:
            sys.exit(f"  OpenLineage: nothing has the facet {kind}")
    print(f"  OpenLineage facets of datasets and jobs: {dict(kinds)}")


def check_drawing(form, text, graph):
    def short(node):
        sort, digest = node.split("-")
        return {"artifact": "f", "action": "a"}[sort] + digest[:12]

    named, flows = (re.findall(pattern, text, re.MULTILINE) for pattern in DRAWN[form])
    same(f"  {form} nodes", named, map(short, graph.nodes))
    same(f"  {form} edges", flows, ((short(source), short(to)) for source, to in graph.edges))


shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
for folder in ["pipelines", "schemas"]:
    shutil.copytree(ROOT / folder, FOLDER / folder)
run(NETSEC, "run", "pipelines/default.yaml")
for target, reachable in [
    (["ref:champion/default"], networkx.ancestors),
    (["ingest.data", "--downstream"], networkx.descendants),
]:
    told = {form: run(NETSEC, "lineage", *target, "--format", form)
            for form in ["json", "prov", "openlineage", "dot", "mermaid"]}
    tree = json.loads(told["json"])
    graph = graph_of(tree)
    print(f"{' '.join(target)}: {len(graph)} nodes, {graph.size()} edges in the tree")
    check_prov(told["prov"], tree, graph, reachable)
    check_openlineage(told["openlineage"], graph)
    check_drawing("dot", told["dot"], graph)
    if shutil.which("dot"):
        check_drawing("plain", run("dot", "-Tplain", input=told["dot"]), graph)
    check_drawing("mermaid", told["mermaid"], graph)
