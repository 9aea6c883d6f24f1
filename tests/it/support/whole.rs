//! A store as a whole: everything that moves with it.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use tiebreak::domain::audit::AuditEvent;
use tiebreak::domain::counter::ShardKey;
use tiebreak::domain::experiment::Experiment;
use tiebreak::domain::segment;
use tiebreak::store::portable::{Import, Member, MoveError, Portable, Set};
use tiebreak::store::{AuditQuery, Notes, Rows};

/// Everything that moves.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Whole {
    pub(crate) experiments: Vec<Experiment>,
    /// Newest first.
    pub(crate) audit: Vec<AuditEvent>,
    pub(crate) shards: BTreeMap<ShardKey, Contents>,
}

/// Everything of a shard.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Contents {
    pub(crate) rows: Rows,
    pub(crate) notes: Notes,
    pub(crate) sets: BTreeMap<Set, Vec<Member>>,
}

/// Reads a store.
pub(crate) async fn whole(store: &dyn Portable) -> Whole {
    let mut whole =
        Whole { experiments: store.records().await.unwrap().experiments, ..Whole::default() };
    whole.experiments.sort_by_key(|experiment| experiment.id().clone());
    let query = AuditQuery { limit: usize::MAX, bytes: usize::MAX, ..AuditQuery::default() };
    whole.audit = store.audit(&query).await.unwrap().events;
    for shard in whole.experiments.iter().flat_map(ShardKey::all_of) {
        let contents = contents(store, &shard).await;
        whole.shards.insert(shard, contents);
    }
    whole
}

async fn contents(store: &dyn Portable, shard: &ShardKey) -> Contents {
    let rows = store.rows_with_segments(shard, segment::ROWS).await.unwrap();
    let mut sets = BTreeMap::new();
    for (set, count) in store.inventory(shard).await.unwrap() {
        let pieces: Vec<_> = store.members(shard, set).try_collect().await.unwrap();
        assert!(pieces.iter().all(|piece| !piece.is_empty()), "{set:?}");
        let members = pieces.concat();
        assert_eq!(u64::try_from(members.len()).unwrap(), count, "{set:?}");
        assert!(members.is_sorted_by(|one, next| one < next), "{set:?}");
        sets.insert(set, members);
    }
    Contents { rows, notes: store.notes(shard).await.unwrap(), sets }
}

/// Fills an empty store.
pub(crate) async fn fill(store: &dyn Portable, whole: &Whole) -> Result<(), MoveError> {
    let mut import = store.import(&whole.experiments).await?;
    load(&mut *import, whole).await?;
    import.commit().await
}

/// Everything of an import but its end.
pub(crate) async fn load(import: &mut dyn Import, whole: &Whole) -> Result<(), MoveError> {
    for event in &whole.audit {
        import.audit(event).await?;
    }
    for (shard, contents) in &whole.shards {
        import.rows(shard, &contents.rows).await?;
        for (slot, note) in &contents.notes {
            import.note(shard, *slot, note).await?;
        }
        for (set, members) in &contents.sets {
            let total = u64::try_from(members.len()).unwrap();
            for piece in members.chunks(1_000) {
                import.members(shard, *set, total, piece).await?;
            }
        }
    }
    Ok(())
}
