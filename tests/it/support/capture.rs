//! Another program of the team, as our requests see it: it writes down what it is sent and answers as
//! it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// `POST /path`.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Captured {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

#[derive(Debug, Default)]
struct Log {
    requests: Mutex<Vec<Captured>>,
    answers: Mutex<VecDeque<(StatusCode, &'static str)>>,
    more: Notify,
}

/// Ends when dropped.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) url: String,
    log: Arc<Log>,
    _task: JoinSet<()>,
}

impl Capture {
    /// Answers with these, and then with 200.
    pub(crate) async fn start(answers: &[(u16, &'static str)]) -> Self {
        let script =
            answers.iter().map(|(code, body)| (StatusCode::from_u16(*code).unwrap(), *body));
        let log = Arc::new(Log { answers: Mutex::new(script.collect()), ..Log::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&log));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, log, _task: task }
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Captured>> {
        self.log.requests.lock().unwrap()
    }

    /// All requests, as soon as there are `count` of them.
    pub(crate) async fn after(&self, count: usize) -> Vec<Captured> {
        let enough = async {
            loop {
                let more = self.log.more.notified();
                if self.requests().len() >= count {
                    break;
                }
                more.await;
            }
        };
        let there = tokio::time::timeout(Duration::from_secs(30), enough).await.is_ok();
        assert!(there, "only {:#?}", self.requests());
        self.requests().clone()
    }
}

async fn answer(State(log): State<Arc<Log>>, request: Request) -> (StatusCode, &'static str) {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let line = format!("{} {}", head.method, head.uri);
    // A GET has none.
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    log.requests.lock().unwrap().push(Captured { line, headers: head.headers, body });
    log.more.notify_waiters();
    log.answers.lock().unwrap().pop_front().unwrap_or((StatusCode::OK, "{}"))
}
