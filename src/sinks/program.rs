//! The programs that show scores, and what each wants to be told.
//!
//! Field for field what their documentation says, and for Phoenix and MLflow what the programs
//! themselves take (`docs/telemetry.md` has the versions).

use std::fmt;

use futures_util::future::join_all;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::fate::{Fate, beginning};
use super::options::{Kind, ScoreSink};
use super::score::Score;
use super::waiting::Attempt;

/// Requests in flight at once, where a request carries one score.
const IN_FLIGHT: usize = 8;

/// What scores are said to come from.
const SOURCE: &str = "tiebreak";

/// A program and the way to it.
pub(super) struct Program {
    client: Client,
    sink: ScoreSink,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.sink).finish()
    }
}

impl Program {
    pub(super) fn new(client: Client, sink: ScoreSink) -> Self {
        Self { client, sink }
    }

    pub(super) fn name(&self) -> &'static str {
        self.sink.kind.name()
    }

    /// Tells it; an answer for each score.
    pub(super) async fn deliver(&self, batch: &[Attempt]) -> Vec<Fate> {
        if let Kind::Phoenix = self.sink.kind {
            // One request for all: it queues them and has no opinion of one alone.
            let fate = Fate::of(self.annotations(batch).send().await).await;
            return vec![fate; batch.len()];
        }
        let mut fates = Vec::with_capacity(batch.len());
        for some in batch.chunks(IN_FLIGHT) {
            let requests: Vec<_> = some.iter().map(|one| self.deliver_one(one)).collect();
            fates.extend(join_all(requests).await);
        }
        fates
    }

    async fn deliver_one(&self, attempt: &Attempt) -> Fate {
        let score = &attempt.score;
        let request = match &self.sink.kind {
            Kind::Phoenix => self.annotations(std::slice::from_ref(attempt)),
            Kind::Mlflow => return self.assess(score).await,
            Kind::Langsmith { project } => self.langsmith_feedback(score, project.as_deref()),
            Kind::Weave { project } => self.weave_feedback(score, project),
        };
        Fate::of(request.send().await).await
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.authorized(self.client.post(self.sink.at(path)).json(body))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        let Some(key) = &self.sink.key else { return request };
        match self.sink.kind {
            Kind::Phoenix | Kind::Mlflow => request.bearer_auth(key.reveal()),
            Kind::Langsmith { .. } => request.header("x-api-key", key.reveal()),
            Kind::Weave { .. } => request.basic_auth("api", Some(key.reveal())),
        }
    }

    /// Phoenix keeps one annotation for each span, name and identifier, and waits ten minutes for
    /// a span that has not come yet.
    fn annotations(&self, batch: &[Attempt]) -> RequestBuilder {
        let annotation = |Attempt { score, .. }: &Attempt| {
            json!({
                "span_id": score.span(),
                "name": score.metric,
                "annotator_kind": "CODE",
                "identifier": format!("{SOURCE}:{}:{}", score.experiment, score.event_id),
                "result": { "score": score.value },
                "metadata": score.facts(),
            })
        };
        let annotations: Vec<Value> = batch.iter().map(annotation).collect();
        self.post("v1/span_annotations", &json!({ "data": annotations }))
    }

    /// MLflow answers 404 while the trace is on its way, and 500 for an id that it has: then the
    /// assessment is brought up to date.
    async fn assess(&self, score: &Score) -> Fate {
        let id = format!("a-{}", score.id().simple());
        let path = format!("api/3.0/mlflow/traces/tr-{}/assessments", score.trace());
        let assessment = json!({
            "assessment_id": id,
            "assessment_name": score.metric,
            "span_id": score.span(),
            "source": { "source_type": "CODE", "source_id": SOURCE },
            "feedback": { "value": score.value },
            "metadata": score.facts(),
        });
        let sent = self.post(&path, &json!({ "assessment": assessment })).send().await;
        match sent {
            Ok(answer) if answer.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                let told = beginning(answer).await;
                if !told.to_lowercase().contains("constraint") {
                    return Fate::Later(told);
                }
                let change = json!({ "assessment": assessment, "update_mask": "feedback" });
                let update = self.client.patch(self.sink.at(&format!("{path}/{id}"))).json(&change);
                Fate::of(self.authorized(update).send().await).await
            }
            sent => Fate::of(sent).await,
        }
    }

    /// LangSmith names a run that came as a span by the span's id, filled up with zeros.
    fn langsmith_feedback(&self, score: &Score, project: Option<&str>) -> RequestBuilder {
        let mut feedback = json!({
            "id": score.id().to_string(),
            "run_id": Uuid::from_u128(u128::from(score.subject.span_id)).to_string(),
            "key": score.metric,
            "score": score.value,
            "feedback_source": { "type": "api", "metadata": score.facts() },
        });
        if let (Some(project), Some(fields)) = (project, feedback.as_object_mut()) {
            fields.insert("session_id".to_owned(), project.into());
        }
        self.post("feedback", &feedback)
    }

    fn weave_feedback(&self, score: &Score, project: &str) -> RequestBuilder {
        let mut payload = score.facts();
        if let Some(fields) = payload.as_object_mut() {
            fields.insert("metric".to_owned(), score.metric.clone().into());
            fields.insert("value".to_owned(), score.value.into());
        }
        let feedback = json!({
            "id": score.id().to_string(),
            "project_id": project,
            "weave_ref": format!("weave:///{project}/call/{}", score.span()),
            "feedback_type": format!("{SOURCE}.outcome"),
            "payload": payload,
        });
        self.post("feedback/create", &feedback)
    }
}
