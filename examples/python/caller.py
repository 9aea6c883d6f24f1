"""A traced application that asks Tiebreak which variant to serve, and says later what came of it.

    python caller.py --phoenix http://127.0.0.1:6006 --tiebreak 127.0.0.1:50051 --conversations 20

The experiment `support-bot` (examples/support-bot.yaml) must be running. For each conversation:

1. a span `answer ticket` of the application's own;
2. inside it `Assign`, with the span's `traceparent` in the metadata, so that the server's span lands
   in this trace;
3. the LLM call (pretended here), whose span carries `assignment.trace_attributes`: traces can be
   compared by variant;
4. later, outside of the trace, `LogOutcome` with the `traceparent` of the LLM span: its values appear
   as scores of that span where the server runs with `--scores`.

The client is generated from proto/: see `stubs` below.
"""

import argparse
import pathlib
import random
import sys
import tempfile
import uuid

import grpc
from grpc_tools import protoc
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

EXPERIMENT = "support-bot"


def stubs():
    """Generates the client into a temporary directory and imports it."""
    proto = pathlib.Path(__file__).resolve().parents[2] / "proto"
    out = tempfile.mkdtemp(prefix="tiebreak-client-")
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    files = [str(path) for path in sorted((proto / "tiebreak" / "v1").glob("*.proto"))]
    arguments = ["protoc", f"-I{proto}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + files) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, out)
    from tiebreak.v1 import experimentation_service_pb2, experimentation_service_pb2_grpc

    return experimentation_service_pb2, experimentation_service_pb2_grpc


def tracer(phoenix, project):
    """Traces to Phoenix, under the application's own project."""
    resource = Resource.create({"service.name": "support-bot", "openinference.project.name": project})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{phoenix}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider, provider.get_tracer("caller")


def context_of_current_span():
    """The current span's context as W3C headers."""
    headers = {}
    propagate.inject(headers)
    return headers


def answer(tracer, pb, stub, unit):
    """One conversation. Gives back the LLM span's traceparent, the iteration and the variant."""
    with tracer.start_as_current_span("answer ticket", attributes={"openinference.span.kind": "CHAIN"}):
        metadata = list(context_of_current_span().items())
        request = pb.AssignRequest(experiment_id=EXPERIMENT, unit_id=unit)
        assignment = stub.Assign(request, metadata=metadata, timeout=5).assignment
        payload = assignment.value.struct_value
        attributes = {
            "openinference.span.kind": "LLM",
            "llm.model_name": payload["model"] if "model" in payload else "unknown",
            **assignment.trace_attributes,
        }
        with tracer.start_as_current_span("chat", attributes=attributes):
            return context_of_current_span()["traceparent"], assignment


def outcome(pb, unit, traceparent, assignment, draw):
    """What came of it; the simulated treatment solves a little more and takes a little longer."""
    better = not assignment.control
    return pb.Outcome(
        experiment_id=EXPERIMENT,
        unit_id=unit,
        iteration=assignment.iteration,
        event_id=str(uuid.uuid4()),
        subject_traceparent=traceparent,
        values={
            "task_completed": float(draw.random() < (0.80 if better else 0.70)),
            "latency": draw.lognormvariate(0.1 if better else 0.0, 0.4),
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phoenix", default="http://127.0.0.1:6006")
    parser.add_argument("--tiebreak", default="127.0.0.1:50051")
    parser.add_argument("--project", default="support-bot")
    parser.add_argument("--conversations", type=int, default=20)
    options = parser.parse_args()
    pb, pb_grpc = stubs()
    provider, own = tracer(options.phoenix, options.project)
    draw = random.Random(7)
    served = []
    with grpc.insecure_channel(options.tiebreak) as channel:
        stub = pb_grpc.ExperimentationServiceStub(channel)
        for number in range(options.conversations):
            unit = f"user-{number}"
            served.append((unit, *answer(own, pb, stub, unit)))
        # Later: the conversation is over, its trace is closed.
        for unit, traceparent, assignment in served:
            request = pb.LogOutcomeRequest(outcome=outcome(pb, unit, traceparent, assignment, draw))
            stub.LogOutcome(request, timeout=5)
    provider.shutdown()
    for unit, traceparent, assignment in served[:3]:
        print(f"{unit}: {assignment.variant_id}, trace {traceparent.split('-')[1]}")
    print(f"{len(served)} conversations; traces in project {options.project} at {options.phoenix}")


if __name__ == "__main__":
    main()
