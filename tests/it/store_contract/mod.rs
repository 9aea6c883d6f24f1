//! The contract of `tiebreak::store`, one list of behaviours for every store that keeps it.

mod audit;
mod changes;
mod counting;
mod embedded;
mod exposure;
mod labels;
mod lasting;
mod maxima;
mod moving;
mod notes;
mod order;
mod reading;
mod records;
mod redis;
mod removal;
mod resend;
mod together;
