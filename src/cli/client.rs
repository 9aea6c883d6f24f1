//! Where the server is, and the two generated clients that talk to it.

use std::time::Duration;

use clap::Args;
use tonic::transport::{Channel, Endpoint};

use super::Error;
use crate::rpc::pb::admin_service_client::AdminServiceClient;
use crate::rpc::pb::experimentation_service_client::ExperimentationServiceClient;

/// Where a server listens unless told otherwise.
pub(super) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:50051";

/// Which server to talk to, and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The server's gRPC address.
    #[arg(long, env = "TIEBREAK_ENDPOINT", default_value = DEFAULT_ENDPOINT, value_name = "URL",
        value_parser = endpoint)]
    pub endpoint: String,
    /// How long one call may take: 500ms, 10s, 2m.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
}

/// Both services over one connection. A clone shares the connection.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) data: ExperimentationServiceClient<Channel>,
    pub(super) admin: AdminServiceClient<Channel>,
}

impl Connection {
    /// Connects now, so that an absent server is told as such and not as a failed call.
    pub(super) async fn open(&self) -> Result<Client, Error> {
        let failed = |cause| Error::Connect { endpoint: self.endpoint.clone(), cause };
        let channel = Endpoint::from_shared(self.endpoint.clone())
            .map_err(failed)?
            .connect_timeout(self.timeout)
            .timeout(self.timeout)
            .connect()
            .await
            .map_err(failed)?;
        Ok(Client {
            data: ExperimentationServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel),
        })
    }
}

/// Reads `http://HOST:PORT`.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    if text.starts_with("https:") {
        return Err("there is no TLS yet: use http:// on loopback or in a trusted network".into());
    }
    if !text.starts_with("http://") {
        return Err(format!("must be a URL: http://{text}?"));
    }
    Ok(text.to_owned())
}

/// Reads `500ms`, `10s`, `2m`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, scale) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text.strip_suffix('s').unwrap_or(text), 1.0)
    };
    let seconds: f64 = number.trim().parse().map_err(|_| "write 500ms, 10s or 2m".to_owned())?;
    match Duration::try_from_secs_f64(seconds * scale) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be longer than nothing and finite".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_without_tls() {
        assert!(endpoint("http://127.0.0.1:1").is_ok());
        assert!(endpoint("https://example.org").unwrap_err().contains("no TLS"));
        assert!(endpoint("localhost:50051").unwrap_err().contains("http://localhost:50051"));
    }

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        for bad in ["", "soon", "-1s", "0", "inf", "NaN"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
