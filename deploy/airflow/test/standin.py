"""A stand-in for the two AWS services that the Batch DAG speaks to, on loopback.

It takes SubmitJob, DescribeJobs and TerminateJob with the limits that AWS Batch documents,
remembers what it was asked, and does the jobs: each is a process of the drivemill binary
with the command and environment of the request, each child of an array with its index. Of
S3 it has single objects, in memory. Signatures are not looked at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_CHILDREN = 10_000


class Batch:
    def __init__(self, binary: str, directory: str):
        self.binary, self.directory = binary, directory
        self.submitted: list[dict] = []
        self.described: list[str] = []
        self.terminated: list[str] = []
        self.jobs: dict[str, dict] = {}
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, code: int, body: bytes = b"", kind: str = "application/json", **headers: str) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
                operation = {"/v1/submitjob": owner.submit, "/v1/describejobs": owner.describe, "/v1/terminatejob": owner.terminate}.get(self.path)
                if operation is None:
                    return self.answer(404)
                try:
                    self.answer(200, json.dumps(operation(body)).encode())
                except ValueError as error:
                    self.answer(400, json.dumps({"message": str(error)}).encode(), **{"x-amzn-ErrorType": "ClientException"})

            def do_PUT(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with owner.lock:
                    owner.objects[self.path.partition("?")[0]] = data
                self.answer(200, ETag='"0"')

            def do_GET(self) -> None:
                data = owner.objects.get(self.path.partition("?")[0])
                if data is None:
                    return self.answer(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>", "application/xml")
                self.answer(200, data, "application/octet-stream", ETag='"0"')

            do_HEAD = do_GET

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def submit(self, request: dict) -> dict:
        size = request.get("arrayProperties", {}).get("size")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", request.get("jobName", "")):
            raise ValueError(f"jobName {request.get('jobName')!r}")
        if not request.get("jobQueue") or not request.get("jobDefinition"):
            raise ValueError("jobQueue and jobDefinition are required")
        if size is not None and not (isinstance(size, int) and 2 <= size <= MAX_CHILDREN):
            raise ValueError(f"arrayProperties.size {size!r} is not between 2 and {MAX_CHILDREN}")
        with self.lock:
            number = f"job-{len(self.submitted)}"
            self.submitted.append(request)
            job = self.jobs[number] = {
                "jobId": number, "jobName": request["jobName"], "jobQueue": "arn:aws:batch:us-east-1:111122223333:job-queue/" + request["jobQueue"],
                "jobDefinition": f"arn:aws:batch:us-east-1:111122223333:job-definition/{request['jobDefinition']}:1", "status": "SUBMITTED", "startedAt": 0,
            }
        threading.Thread(target=self.work, args=(job, request, size), daemon=True).start()
        return {"jobId": number, "jobName": request["jobName"]}

    def work(self, job: dict, request: dict, size: int | None) -> None:
        overrides = request["containerOverrides"]
        environment = {**os.environ, "AWS_ENDPOINT_URL": self.endpoint, **{e["name"]: e["value"] for e in overrides.get("environment", [])}}
        job["status"] = "RUNNING"
        codes = []
        for index in range(size or 1):
            own = {"AWS_BATCH_JOB_ID": job["jobId"], **({"AWS_BATCH_JOB_ARRAY_INDEX": str(index)} if size else {})}
            done = subprocess.run([self.binary, *overrides["command"]], env={**environment, **own}, cwd=self.directory, capture_output=True, text=True)
            codes.append(done.returncode)
            if done.returncode:
                print(f"{job['jobId']}: exit {done.returncode}: {done.stderr}")
        job["container"] = {"exitCode": max(codes, key=abs)}
        job["status"] = "FAILED" if any(codes) else "SUCCEEDED"

    def describe(self, request: dict) -> dict:
        self.described += request["jobs"]
        return {"jobs": [self.jobs[j] for j in request["jobs"] if j in self.jobs]}

    def terminate(self, request: dict) -> dict:
        self.terminated.append(request["jobId"])
        return {}
