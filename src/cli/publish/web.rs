//! JSON over HTTP, with errors for the person at the terminal.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;

use crate::cli::{Error, chain};

/// A program behind a URL.
pub(super) struct Web {
    name: &'static str,
    client: Client,
    base: Url,
    key: Option<String>,
}

/// What it answered.
pub(super) enum Answer {
    /// 2xx.
    Done(Value),
    /// Anything else, and what it says of it.
    Refused(StatusCode, String),
}

impl Web {
    pub(super) fn new(
        name: &'static str,
        base: Url,
        key: Option<String>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        // A provider that somebody else chose first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(timeout).build();
        let client = client.map_err(|cause| Error::Input(format!("no HTTP client: {cause}")))?;
        Ok(Self { name, client, base, key })
    }

    /// A URL below the program's.
    pub(super) fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    pub(super) async fn get(&self, url: Url) -> Result<Answer, Error> {
        self.send(Method::GET, url, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Error> {
        self.send(Method::POST, self.at(path), Some(body)).await
    }

    /// A post that must succeed.
    pub(super) async fn must_post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        match self.post(path, body).await? {
            Answer::Done(value) => Ok(value),
            Answer::Refused(status, told) => Err(self.refused(path, status, &told)),
        }
    }

    pub(super) fn refused(&self, path: &str, status: StatusCode, told: &str) -> Error {
        let told = if told.is_empty() { String::new() } else { format!(": {told}") };
        Error::Input(format!("{} refuses {path} with {status}{told}", self.name))
    }

    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, Error> {
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.map_err(|cause| {
            let (name, base) = (self.name, &self.base);
            Error::Input(format!(
                "{name} does not answer at {base}: {}",
                chain(&cause.without_url())
            ))
        })?;
        Ok(read(answer).await)
    }
}

async fn read(answer: Response) -> Answer {
    let status = answer.status();
    // A body that breaks off is told as an empty one.
    let text = answer.text().await.unwrap_or_default();
    if status.is_success() {
        return Answer::Done(serde_json::from_str(&text).unwrap_or(Value::Null));
    }
    let told: Option<String> = serde_json::from_str::<Value>(&text).ok().and_then(|value| {
        let message = value.get("message").or_else(|| value.get("detail"))?;
        Some(message.as_str().map_or_else(|| message.to_string(), ToOwned::to_owned))
    });
    let told = told.unwrap_or(text);
    Answer::Refused(status, told.chars().take(300).collect())
}
