//! What became of a request to a program that shows scores.

use reqwest::{Response, StatusCode};

/// What to do with the score that a request carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there.
    Delivered,
    /// It may work later.
    Later(String),
    /// It never will.
    Refused(String),
}

/// How much of an answer's body is read and told.
const TOLD: usize = 200;

impl Fate {
    /// By the status of the answer, or because there is none.
    pub(super) async fn of(sent: Result<Response, reqwest::Error>) -> Self {
        match sent {
            Ok(answer) if answer.status().is_success() => Self::Delivered,
            Ok(answer) => {
                let status = answer.status();
                Self::of_status(status, &beginning(answer).await)
            }
            // Without the URL, which may hold what is nobody's business.
            Err(error) => Self::Later(with_causes(&error.without_url())),
        }
    }

    fn of_status(status: StatusCode, body: &str) -> Self {
        let told = format!("{status}: {body}");
        match status {
            // The id is stable: it was sent before.
            StatusCode::CONFLICT => Self::Delivered,
            // The trace may be on its way: its exporter batches, too.
            StatusCode::NOT_FOUND | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Self::Later(told)
            }
            status if status.is_server_error() => Self::Later(told),
            _ => Self::Refused(told),
        }
    }
}

/// The first bytes of a body, in one line.
pub(super) async fn beginning(mut answer: Response) -> String {
    let mut body = Vec::new();
    // What cannot be read is not told.
    while body.len() < TOLD
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(TOLD);
    String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_try_again() {
        for (status, tried_again) in
            [(404, true), (408, true), (429, true), (500, true), (503, true)].into_iter().chain([
                (400, false),
                (401, false),
                (403, false),
                (422, false),
                (301, false),
            ])
        {
            let fate = Fate::of_status(StatusCode::from_u16(status).unwrap(), "why");
            assert_eq!(matches!(fate, Fate::Later(_)), tried_again, "{status}");
            assert_eq!(matches!(fate, Fate::Refused(_)), !tried_again, "{status}");
        }
        assert_eq!(Fate::of_status(StatusCode::CONFLICT, ""), Fate::Delivered);
    }
}
