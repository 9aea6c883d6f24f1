//! What of a raise can raise anything, the same for every store.

use crate::store::{COUNTER_LIMIT, Rows, StoreError};

/// The rows of a raise, each to its last column above 0; what is below 0 is 0, and a row without
/// a column above 0 is left out. So a row of maxima ends with a column above 0, in whatever order
/// and however often it was raised.
///
/// # Errors
/// [`StoreError::CounterFull`] for a value beyond [`COUNTER_LIMIT`].
pub(super) fn raising(rows: &Rows) -> Result<Rows, StoreError> {
    if rows.values().flatten().any(|value| *value > COUNTER_LIMIT) {
        return Err(StoreError::CounterFull);
    }
    let raising = rows.iter().filter_map(|(name, values)| {
        let last = values.iter().rposition(|value| *value > 0)?;
        let values = values.iter().take(last + 1).map(|value| (*value).max(0));
        Some((name.clone(), values.collect()))
    });
    Ok(raising.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[&[i64]]) -> Rows {
        (0..).zip(values).map(|(row, values)| (format!("m/{row}"), values.to_vec())).collect()
    }

    #[test]
    fn a_row_ends_with_its_last_column_above_zero() {
        let given = rows(&[&[-1, 3, i64::MIN, 7, 0, -9], &[COUNTER_LIMIT]]);
        let expected = rows(&[&[0, 3, 0, 7], &[COUNTER_LIMIT]]);
        assert_eq!(raising(&given).unwrap(), expected);
        assert_eq!(raising(&rows(&[&[], &[0], &[-5, 0]])).unwrap(), Rows::new());
    }

    #[test]
    fn a_value_beyond_the_limit_is_refused() {
        let refused = raising(&rows(&[&[1], &[0, COUNTER_LIMIT + 1]]));
        assert!(matches!(refused, Err(StoreError::CounterFull)), "{refused:?}");
    }
}
