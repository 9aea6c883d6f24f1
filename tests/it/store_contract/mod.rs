//! The contract of `tiebreak::store`, one list of behaviours for every store that keeps it.

mod counting;
mod embedded;
mod exposure;
mod lasting;
mod maxima;
mod order;
mod records;
mod redis;
mod resend;
mod together;
