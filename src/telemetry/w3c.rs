//! W3C Trace Context from the metadata of a call (<https://www.w3.org/TR/trace-context/>).
//!
//! Read by hand because the propagator of the SDK takes texts that the standard refuses (short
//! ids, a sign before the digits, uppercase in the version) and allocates on each call. What is
//! malformed is ignored as the standard asks: the call then starts a trace of its own.

use std::str::FromStr as _;

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Bytes of version 00: `vv-<32 hex>-<16 hex>-ff`.
const LENGTH: usize = 55;

/// The span of the caller, when it sent one.
pub(super) fn remote_parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all("traceparent").iter();
    let (first, second) = (values.next()?, values.next());
    if second.is_some() {
        return None; // Two parents are none.
    }
    let (trace, span, flags) = parse(first.as_bytes())?;
    // A trace state that does not parse is dropped alone; several headers are one list.
    let states = headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok());
    let states = states.collect::<Vec<_>>().join(",");
    let state = TraceState::from_str(&states).unwrap_or_default();
    let parent = SpanContext::new(trace, span, flags, true, state);
    parent.is_valid().then_some(parent)
}

/// The span that a `traceparent` names, not valid where an id is all zeros; `None` when the text is
/// malformed.
#[must_use]
pub fn span_named(traceparent: &str) -> Option<SpanContext> {
    let (trace, span, flags) = parse(traceparent.as_bytes())?;
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}

fn parse(text: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let [version @ .., b'-'] = &known[..3] else { return None };
    let version = hex(version)?;
    // Later versions may append fields after another dash; 255 is forbidden, 00 ends here.
    let ends_well = rest.is_empty() || (version != 0 && rest.starts_with(b"-"));
    if version == 0xff || !ends_well || known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    let trace = TraceId::from(hex(&known[3..35])?);
    let span = SpanId::from(u64::try_from(hex(&known[36..52])?).ok()?);
    let flags = TraceFlags::new(u8::try_from(hex(&known[53..])?).ok()?);
    // Only the sampled bit is ours to understand; Python sends the random bit along with it.
    Some((trace, span, flags & TraceFlags::SAMPLED))
}

/// Lowercase hexadecimal digits, at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(traceparent: &str) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", traceparent.parse().unwrap());
        remote_parent(&headers)
    }

    #[test]
    fn reads_ids_and_the_sampled_bit() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("03", true)] {
            let parent = read(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
            assert_eq!(parent.trace_id().to_string(), TRACE);
            assert_eq!(parent.span_id().to_string(), SPAN);
            assert_eq!(parent.is_sampled(), sampled, "{flags}");
            assert!(parent.is_remote());
        }
        assert!(read(&format!("01-{TRACE}-{SPAN}-01-more")).is_some(), "a later version");
    }

    #[test]
    fn refuses_what_the_standard_refuses() {
        let zeros = "0".repeat(32);
        let upper = TRACE.to_uppercase();
        for bad in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-001"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{}-{SPAN}0-01", &TRACE[1..]),
            format!("00-{TRACE}-{SPAN}-zz"),
        ] {
            assert!(read(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn two_parents_are_none_and_a_bad_state_is_dropped_alone() {
        let value = format!("00-{TRACE}-{SPAN}-01");
        let mut headers = HeaderMap::new();
        headers.append("traceparent", value.parse().unwrap());
        headers.append("tracestate", "a=1".parse().unwrap());
        headers.append("tracestate", "b=2".parse().unwrap());
        assert_eq!(remote_parent(&headers).unwrap().trace_state().header(), "a=1,b=2");
        headers.append("tracestate", "no state".parse().unwrap());
        assert_eq!(remote_parent(&headers).unwrap().trace_state().header(), "");
        headers.append("traceparent", value.parse().unwrap());
        assert!(remote_parent(&headers).is_none());
    }
}
