//! How long every call takes, by method and status.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use tonic::Code;

use super::{Family, Sample, Samples};
use crate::meter::Durations;
use crate::telemetry::code::{code_name, is_server_error};

/// gRPC has so many codes.
const CODES: usize = 17;

/// The name of all methods that this server does not have, as the conventions want it: anybody can
/// make up names, and each would stay for ever.
pub(crate) const OTHER: &str = "_OTHER";

/// The methods of a server and what became of their calls.
#[derive(Debug)]
pub(crate) struct Calls {
    /// The last one stands for all that there are not.
    methods: Vec<Method>,
    places: HashMap<String, Place>,
}

/// Where a method stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// A method of the server: `package.Service/Method`.
#[derive(Debug)]
struct Method {
    name: String,
    /// By code; made when the first call ends with it.
    durations: [OnceLock<Durations>; CODES],
}

impl Method {
    fn new(name: String) -> Self {
        Self { name, durations: [const { OnceLock::new() }; CODES] }
    }

    fn samples(&self) -> impl Iterator<Item = Sample<crate::meter::Histogram>> {
        (0..).zip(&self.durations).filter_map(|(number, durations)| {
            let code = Code::from_i32(number);
            let mut attributes = vec![
                ("rpc.system.name", "grpc".to_owned()),
                ("rpc.method", self.name.clone()),
                ("rpc.response.status_code", code_name(code).to_owned()),
            ];
            attributes
                .extend(is_server_error(code).then(|| ("error.type", code_name(code).to_owned())));
            Some(Sample { attributes, value: durations.get()?.read() })
        })
    }
}

impl Calls {
    pub(crate) fn new(methods: impl IntoIterator<Item = String>) -> Self {
        let mut methods: Vec<_> = methods.into_iter().map(Method::new).collect();
        let places =
            methods.iter().enumerate().map(|(at, method)| (method.name.clone(), Place(at)));
        let places = places.collect();
        methods.push(Method::new(OTHER.to_owned()));
        Self { methods, places }
    }

    /// Where the method of that name stands.
    pub(crate) fn place(&self, name: &str) -> Place {
        self.places.get(name).copied().unwrap_or(Place(self.methods.len() - 1))
    }

    /// Whether the method there is one that this server has.
    pub(crate) fn is_known(&self, place: Place) -> bool {
        place.0 + 1 < self.methods.len()
    }

    /// Counts a call. Takes no lock, and allocates only for the first call with this code.
    pub(crate) fn ended(&self, place: Place, code: Code, after: Duration) {
        let code = usize::try_from(i32::from(code)).unwrap_or_default();
        let durations = self.methods.get(place.0).and_then(|method| method.durations.get(code));
        if let Some(durations) = durations {
            durations.get_or_init(Durations::default).record(after);
        }
    }

    pub(crate) fn family(&self) -> Family {
        Family {
            name: "rpc.server.call.duration",
            help: "How long calls took, streams from their first message to their last.",
            unit: "s",
            samples: Samples::Histograms(self.methods.iter().flat_map(Method::samples).collect()),
        }
    }
}
