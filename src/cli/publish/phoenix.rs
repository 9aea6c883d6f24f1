//! Results as a span of a Phoenix project, with a verdict on each comparison as its annotation.

use serde_json::{Value, json};
use uuid::Uuid;

use super::publication::{Publication, VerdictOn};
use super::web::{Answer, Web};
use crate::cli::Error;

/// Adds the look as a trace of its own: the same look twice is one. Says where.
pub(super) async fn publish(
    web: &Web,
    project: &str,
    publication: &Publication,
) -> Result<String, Error> {
    if project.contains(['/', '?', '#']) {
        return Err(Error::Input(format!("Phoenix takes no /, ? or # in a project: {project}")));
    }
    let (trace, span) = ids(publication);
    let path = format!("v1/projects/{project}/spans");
    match web.post(&path, &json!({ "data": [look(&trace, &span, publication)] })).await? {
        Answer::Done(_) => {}
        // This very look is there.
        Answer::Refused(_, told) if told.contains(&span) && told.contains("duplicate") => {}
        Answer::Refused(status, told) => return Err(web.refused(&path, status, &told)),
    }
    let mut annotations = vec![json!({
        "span_id": span,
        "name": "decision",
        "annotator_kind": "CODE",
        "identifier": "tiebreak",
        "result": {
            "label": publication.decision,
            "explanation": publication.explanations.join("\n"),
        },
        "metadata": publication.summary(),
    })];
    annotations.extend(publication.verdicts.iter().map(|verdict| annotation(&span, verdict)));
    web.must_post("v1/span_annotations", &json!({ "data": annotations })).await?;
    Ok(format!("trace {trace} of Phoenix project {project}"))
}

/// Trace and span, the same for the same look.
fn ids(publication: &Publication) -> (String, String) {
    let name = format!("urn:tiebreak:look:{}:{}", publication.name(), publication.time);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
    let (_, span) = id.as_u64_pair();
    (id.simple().to_string(), format!("{span:016x}"))
}

fn look(trace: &str, span: &str, publication: &Publication) -> Value {
    json!({
        "name": format!("results {}", publication.experiment),
        "context": { "trace_id": trace, "span_id": span },
        "span_kind": "CHAIN",
        "start_time": publication.time,
        "end_time": publication.time,
        "status_code": "OK",
        "attributes": {
            "feature_flag.key": publication.experiment,
            "input.value": publication.name(),
            "output.value": publication.whole.to_string(),
            "output.mime_type": "application/json",
            "metadata": publication.summary(),
        },
    })
}

fn annotation(span: &str, verdict: &VerdictOn) -> Value {
    let mut result = json!({ "label": verdict.verdict });
    if let Some(lift) = verdict.lift.filter(|lift| lift.is_finite()) {
        result["score"] = lift.into();
    }
    json!({
        "span_id": span,
        "name": verdict.name,
        "annotator_kind": "CODE",
        "identifier": "tiebreak",
        "result": result,
    })
}
