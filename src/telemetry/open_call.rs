//! A call under way: whoever holds it learns last how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::Code;

use super::metrics::{Calls, Place};
use super::rpc_span::RpcSpan;

/// A call whose duration has to be counted and whose span has to end, once. Dropped without a
/// status, it was cut off. The default is one that nobody wants to know about.
#[derive(Debug, Default)]
pub(super) struct OpenCall(Option<Open>);

#[derive(Debug)]
struct Open {
    calls: Arc<Calls>,
    method: Place,
    begin: Instant,
    timeout: Option<Duration>,
    span: Option<RpcSpan>,
}

impl OpenCall {
    /// Begins now, and may take so long.
    pub(super) fn new(
        calls: Arc<Calls>,
        method: Place,
        timeout: Option<Duration>,
        span: Option<RpcSpan>,
    ) -> Self {
        Self(Some(Open { calls, method, begin: Instant::now(), timeout, span }))
    }

    /// It ended with this status; what comes later changes nothing.
    pub(super) fn end(&mut self, code: Code) {
        if let Some(open) = self.0.take() {
            open.end(code);
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let code = open.cut_off_by();
            open.end(code);
        }
    }
}

impl Open {
    fn end(self, code: Code) {
        self.calls.ended(self.method, code, self.begin.elapsed());
        if let Some(span) = self.span {
            span.end(code);
        }
    }

    /// What cuts a call off: a panic in the handler, the deadline of the call, which the
    /// transport keeps outside of this layer, or else a client that went away.
    fn cut_off_by(&self) -> Code {
        if std::thread::panicking() {
            Code::Internal
        } else if self.timeout.is_some_and(|timeout| timeout <= self.begin.elapsed()) {
            Code::DeadlineExceeded
        } else {
            Code::Cancelled
        }
    }
}
