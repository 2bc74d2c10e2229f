"""What Labelbox keeps, and what it answers to the questions that the SDK asks when fetching and uploading."""

import json
import re
import threading
from collections import defaultdict
from urllib.parse import quote, unquote


class LabelboxWorld:
    """Projects, data sets, rows and files in memory.

    Attributes:
        url: where the files are.
        exports: how many were asked for; the addresses in each are signed with its number.
        expired: signatures that no longer work.
        ends_as: status of all tasks once they are done.
        import_errors: lines of the file of errors that each import of suggested boxes ends with.
    """

    def __init__(self):
        self.url = ""
        self.projects, self.datasets, self.rows, self.files = {}, {}, {}, {}
        self.ontologies, self.tasks, self.jobs, self.frontends = {}, {}, {}, {}
        self.exports = 0
        self.expired = set()
        self.ends_as = "COMPLETE"
        self.import_errors = []
        self._lock = threading.RLock()

    def add_project(self, name, photos):
        """Add a labelled project: {external id: (content, [(symbol, left, top, width, height)])}."""
        project = self._new_project(name)
        for external_id, (content, boxes) in photos.items():
            row = self._new_row({"row_data": self._keep(content, external_id), "external_id": external_id})
            self.projects[project]["rows"][row] = "label"
            self.label(project, external_id, boxes)
        return project

    def label(self, project, external_id, boxes):
        """Do what a person does: draw boxes on a photo and submit."""
        row = next(
            key for key in self.projects[project]["rows"] if self.rows[key]["external_id"] == external_id
        )
        self.projects[project]["labels"][row] = boxes

    def accept(self, project):
        """Submit each photo with the boxes that were suggested for it."""
        suggested = defaultdict(list)
        for imported in self.projects[project]["imports"].values():
            for item in imported["lines"]:
                row = next(
                    key for key, row in self.rows.items() if row["global_key"] == item["dataRow"]["globalKey"]
                )
                box = item["bbox"]
                place = (item["name"], box["left"], box["top"], box["width"], box["height"])
                suggested[self.rows[row]["external_id"]].append(place)
        for external_id, boxes in suggested.items():
            self.label(project, external_id, boxes)

    def answer(self, operation, query, v, upload=None):
        """Give the data of a GraphQL request; `upload` is name and content of the file that came with it."""
        name = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", operation.removesuffix("PyApi")).lower()
        method = getattr(self, f"on_{name}", None)
        if method is None:
            raise KeyError(f"the stand-in does not know {operation}: {query} {v}")
        with self._lock:
            self._query, self._upload = query, upload
            return method(v)

    def on_get_project(self, v):
        project = self.projects.get(*v.values())
        return {"project": project and self._filled(project)}

    def on_get_projects(self, v):
        return {"projects": [self._filled(p) for p in self.projects.values() if p["name"] == v["param_0"]]}

    def on_get_datasets(self, v):
        return {"datasets": [self._filled(d) for d in self.datasets.values() if d["name"] == v["param_0"]]}

    def on_create_project(self, v):
        return {"createProject": self._filled(self.projects[self._new_project(v["name"])])}

    def on_create_dataset(self, v):
        key = f"dataset{len(self.datasets) + 1}"
        self.datasets[key] = {"id": key, "name": v["name"]}
        return {"createDataset": self._filled(self.datasets[key])}

    def on_get_organization(self, v):
        return {"organization": self._filled({"id": "organization"})}

    def on_get_all_integrations(self, v):
        return {"iamIntegrations": []}

    def on_upsert_root_schema_node(self, v):
        key = f"ontology{len(self.ontologies) + 1}"
        normalized = json.loads(v["data"]["normalized"])
        self.ontologies[key] = {"id": key, "name": v["data"]["name"], "normalized": normalized}
        return {"upsertOntology": self._filled({**self.ontologies[key], "mediaType": "IMAGE"})}

    def on_get_project_ontology(self, v):
        ontology = self.projects[v["param_0"]]["ontology"]
        return {"project": {"ontology": ontology and self._filled(self.ontologies[ontology])}}

    def on_connect_ontology(self, v):
        self.projects[v["projectId"]]["ontology"] = v["ontologyId"]
        return {"project": {"connectOntology": {"id": v["ontologyId"]}}}

    def on_label_count(self, v):
        return {"project": {"labelCount": len(self.projects[v["projectId"]]["labels"])}}

    def on_get_project_labeling_frontend(self, v):
        frontend = self.frontends.get(v["param_0"])
        return {"project": {"labelingFrontend": frontend and self._filled({"id": frontend})}}

    def on_get_labeling_frontends(self, v):
        return {"labelingFrontends": [self._filled({"id": "editor", "name": v["param_0"]})]}

    def on_connect_project_and_labeling_frontend(self, v):
        self.frontends[v["projectId"]] = v["labelingFrontendId"]
        return {"updateProject": {"id": v["projectId"]}}

    def on_create_labeling_frontend_options(self, v):
        return {"createLabelingFrontendOptions": self._filled({"id": "options"})}

    def on_get_data_rows_for_global_keys(self, v):
        job = f"job{len(self.jobs) + 1}"
        self.jobs[job] = v["globalKeys"]
        return {"dataRowsForGlobalKeys": {"jobId": job}}

    def on_get_data_rows_for_global_keys_result(self, v):
        rows = {row["global_key"]: key for key, row in self.rows.items()}
        keys = self.jobs[v["jobId"]]
        data = {
            "fetchedDataRows": [{"id": rows.get(key, "")} for key in keys],
            "notFoundGlobalKeys": [key for key in keys if key not in rows],
            "accessDeniedGlobalKeys": [],
        }
        return {"dataRowsForGlobalKeysResult": {"data": data, "jobStatus": "COMPLETE"}}

    def on_upload_file(self, v):
        name, content = self._upload
        assert v["contentLength"] == len(content)
        return {"uploadFile": {"url": self._keep(content, name), "filename": name}}

    def on_upsert_data_rows(self, v):
        items = []
        for address in json.loads(self._content(v["manifestUri"]))["chunk_uris"]:
            items += json.loads(self._content(address))
        failed = []
        for item in items:
            row = item["payload"]
            if row["global_key"] in {known["global_key"] for known in self.rows.values()}:
                spec = {"externalId": row["external_id"], "globalKey": row["global_key"]}
                failed.append({"message": "Duplicate global key", "spec": spec})
            else:
                self._new_row(row)
        return {"upsertDataRows": self._filled(self._new_task("adv-upsert-data-rows", failed))}

    def on_failed_data_row_imports(self, v):
        failed = self.tasks[v["taskId"]]["rows"]
        return {"failedDataRowImports": {"after": None, "total": len(failed), "results": failed}}

    def on_check_all_data_rows_have_been_processed(self, v):
        return {"queryAllDataRowsHaveBeenProcessed": {"allDataRowsHaveBeenProcessed": True}}

    def on_create_batch_v2(self, v):
        project, given = self.projects[v["projectId"]], v["batchInput"]
        rows = {row["global_key"]: key for key, row in self.rows.items()}
        project["rows"] |= {rows[key]: given["name"] for key in given["globalKeys"]}
        batch = self._filled({"id": "batch", "name": given["name"], "size": len(given["globalKeys"])})
        return {"project": {"createBatchV2": {"batch": batch, "failedDataRowIds": []}}}

    def on_create_malprediction_import_by_file(self, v):
        lines = [json.loads(line) for line in self._upload[1].splitlines()]
        imported = {"name": v["name"], "lines": lines, "state": "RUNNING"}
        self.projects[v["projectId"]]["imports"][v["name"]] = imported
        return {"createModelAssistedLabelingPredictionImport": self._import(v["projectId"], imported)}

    def on_get_model_assisted_labeling_prediction_import(self, v):
        imported = self.projects[v["projectId"]]["imports"][v["name"]]
        imported["state"] = "FINISHED" if self.ends_as == "COMPLETE" else self.ends_as
        return {"modelAssistedLabelingPredictionImport": self._import(v["projectId"], imported)}

    def on_get_model_assisted_labeling_prediction_imports(self, v):
        imports = self.projects[v["projectId"]]["imports"].values()
        answers = [self._import(v["projectId"], imported) for imported in imports]
        return {"modelAssistedLabelingPredictionImports": answers}

    def on_export_data_rows_in_project(self, v):
        self.exports += 1
        lines = list(self._export_lines(v["input"]["filters"]["projectId"], self.exports))
        turn = self.exports % (len(lines) or 1)
        task = self._new_task("export-data-rows-streamable", "".join(lines[turn:] + lines[:turn]).encode())
        self.tasks[task["id"]]["signature"] = self.exports
        return {"exportDataRowsInProject": {"taskId": task["id"], "isStreamable": True}}

    def on_get_user(self, v):
        return {"user": self._filled({"id": "user", "email": "person@example.org"})}

    def on_get_user_created_tasks(self, v):
        task = next(self.tasks[value] for value in v.values() if value in self.tasks)
        task["looks"] += 1
        task["status"] = "IN_PROGRESS" if task["looks"] == 1 else self.ends_as
        return {"user": {"createdTasks": [self._filled(task)]}}

    def on_get_export_metadata_header(self, v):
        lines = self.tasks[v["where"]["id"]]["rows"]
        if v["streamType"] == "ERRORS" or not lines:
            return {"task": {"exportMetadataHeader": None}}
        header = {"totalSize": len(lines), "totalLines": lines.count(b"\n")}
        return {"task": {"exportMetadataHeader": header}}

    def on_get_export_file_from_offset(self, v):
        task = self.tasks[v["where"]["id"]]
        start, half = int(v["offset"]), len(task["rows"]) // 2 + 7
        end = min(start + half, len(task["rows"]))
        address = f"{self.url}/chunk/{task['id']}/{start}/{end}?Signature={task['signature']}"
        chunk = {
            "offsets": {"start": start, "end": end - 1},
            "lines": {"start": 0, "end": 1},
            "file": address,
        }
        return {"task": {"exportFileFromOffset": chunk}}

    def get(self, path, signature):
        """Give status and content of a file's address."""
        if signature in self.expired:
            return 403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        kind, _, rest = path.strip("/").partition("/")
        if kind == "chunk":
            task, start, end = rest.split("/")
            return 200, self.tasks[task]["rows"][int(start) : int(end)]
        content = self.files.get(unquote(rest)) if kind == "photo" else None
        return (404, b"no such file") if content is None else (200, content)

    def _export_lines(self, project, signature):
        known = self.projects[project]
        for number, row in enumerate(known["rows"]):
            data, labelled = self.rows[row], row in known["labels"]
            label = {
                "label_kind": "Default",
                "version": "1.0.0",
                "id": f"label-{row}",
                "label_details": {"created_at": "2026-01-01", "updated_at": f"2026-01-02T{signature}"},
                "performance_details": {"seconds_to_create": signature, "skipped": False},
                "annotations": {
                    "objects": [
                        _object(row, place, box) for place, box in enumerate(known["labels"].get(row, []))
                    ],
                    "classifications": [],
                    "relationships": [],
                },
            }
            exported = {
                "data_row": {
                    "id": row,
                    "external_id": data["external_id"],
                    "global_key": data["global_key"],
                    "row_data": f"{data['row_data']}?Signature={signature}&number={number}",
                },
                "media_attributes": {
                    "height": data.get("height", 30),
                    "width": 40,
                    "mime_type": "image/jpeg",
                },
                "projects": {project: {"name": known["name"], "labels": [label] if labelled else []}},
            }
            yield json.dumps(exported, ensure_ascii=False) + "\n"

    def _import(self, project, imported):
        errors = self._keep(
            "".join(json.dumps(e) + "\n" for e in self.import_errors).encode(), "errors.ndjson"
        )
        return {
            "id": imported["name"],
            "name": imported["name"],
            "state": imported["state"],
            "progress": "100%",
            "errorFileUrl": errors,
            "inputFileUrl": None,
            "statusFileUrl": errors,
            "project": self._filled(self.projects[project]),
        }

    def _new_project(self, name):
        key = f"project{len(self.projects) + 1}"
        contents = {"rows": {}, "labels": {}, "imports": {}, "ontology": None}
        self.projects[key] = {"id": key, "name": name, "allowedMediaType": "IMAGE", **contents}
        return key

    def _new_row(self, row):
        key = f"row{len(self.rows) + 1}"
        self.rows[key] = {"global_key": f"key-{key}", **row}
        return key

    def _new_task(self, kind, rows):
        key = f"task{len(self.tasks) + 1}"
        self.tasks[key] = {
            "id": key,
            "name": kind,
            "type": kind,
            "status": "IN_PROGRESS",
            "rows": rows,
            "looks": 0,
            "completionPercentage": 50.0,
        }
        return self.tasks[key]

    def _keep(self, content, name):
        key = f"{len(self.files) + 1}-{name}"
        self.files[key] = content
        return f"{self.url}/photo/{quote(key, safe='')}"

    def _content(self, address):
        return self.files[unquote(address.rpartition("/")[2])]

    def _filled(self, values):
        """Give all fields that the query selects, null where there is nothing to say."""
        selected = re.findall(r"\{([^{}]*)\}", self._query)[-1].split()
        names = [name for name in selected if re.fullmatch(r"\w+", name)]
        return {**dict.fromkeys(names), **{key: value for key, value in values.items() if key in names}}


def _object(row, place, box):
    symbol, left, top, width, height = box
    return {
        "feature_id": f"feature-{row}-{place}",
        "feature_schema_id": f"schema-{symbol}",
        "name": symbol,
        "value": symbol,
        "annotation_kind": "ImageBoundingBox",
        "classifications": [],
        "bounding_box": {"left": left, "top": top, "width": width, "height": height},
    }
