//! Reading an embedded store whole.

use std::path::Path;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::domain::counter::ShardKey;
use crate::domain::experiment::Experiment;
use crate::domain::segment::Label;
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::import::EmbeddedImport;
use crate::store::embedded::state::Shard;
use crate::store::portable::{Import, Inventory, Member, Members, MoveError, Portable, Set};
use crate::store::{Digest, StoreError};

/// Members in one piece.
const PIECE: usize = 4_096;

impl Shard {
    fn members(&self, set: Set) -> Vec<Member> {
        let plain = |digests: &mut dyn Iterator<Item = &Digest>| {
            digests.copied().map(Member::from).collect::<Vec<_>>()
        };
        let mut members = match set {
            Set::Units => plain(&mut self.units.iter()),
            Set::Labels => {
                let member =
                    |(digest, label): (&Digest, &Label)| Member { digest: *digest, label: *label };
                self.labels.iter().map(member).collect()
            }
            Set::Events(window) => plain(&mut self.events.get(&window).into_iter().flatten()),
        };
        members.sort_unstable();
        members
    }
}

#[async_trait]
impl Portable for EmbeddedStore {
    async fn inventory(&self, shard: &ShardKey) -> Result<Inventory, MoveError> {
        let now = self.windows.now().milliseconds;
        let state = self.state();
        let Some(shard) = state.shards.get(shard) else { return Ok(Inventory::new()) };
        let events = shard.events.iter().filter(|(window, _)| window.is_remembered(now));
        let sets = events.map(|(window, events)| (Set::Events(*window), events.len()));
        let units = [(Set::Units, shard.units.len()), (Set::Labels, shard.labels.len())];
        let sets = units.into_iter().chain(sets).filter(|(_, count)| *count > 0);
        Ok(sets.map(|(set, count)| (set, u64::try_from(count).unwrap_or(u64::MAX))).collect())
    }

    fn members(&self, shard: &ShardKey, set: Set) -> Members<'_> {
        let state = self.state();
        let members = state.shards.get(shard).map(|shard| shard.members(set)).unwrap_or_default();
        drop(state);
        let chunks: Vec<_> = members.chunks(PIECE).map(|chunk| Ok(chunk.to_vec())).collect();
        stream::iter(chunks).boxed()
    }

    async fn size(&self) -> Result<Option<u64>, MoveError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        Ok(Some(bytes_in(directory).map_err(StoreError::unavailable)?))
    }

    async fn import<'a>(
        &'a self,
        experiments: &[Experiment],
    ) -> Result<Box<dyn Import + 'a>, MoveError> {
        Ok(Box::new(EmbeddedImport::begin(self, experiments).await?))
    }
}

/// What the files of a directory take; less than they are long where they have holes.
fn bytes_in(directory: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
