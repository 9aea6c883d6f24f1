//! Who calls, for the audit log. Access control puts the principal that it has authenticated into
//! the extensions of a request as an [`Actor`]; this is the one place that reads it.

use tonic::Request;

use crate::domain::audit::{Actor, Author};
use crate::rpc::clock::now;

/// Who asks, now.
pub(super) fn author<T>(request: &Request<T>) -> Author {
    let authenticated = request.extensions().get::<Actor>().cloned();
    Author { actor: authenticated.unwrap_or_else(Actor::anonymous), time: now() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_authenticated_is_anonymous() {
        let mut request = Request::new(());
        assert_eq!(author(&request).actor, Actor::anonymous());
        request.extensions_mut().insert(Actor::server());
        assert_eq!(author(&request).actor, Actor::server());
    }
}
