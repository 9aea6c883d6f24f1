//! The grammar of the keys in Redis. Pure; round trips are tested.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `{P:E:C:I:S}:directory` | set | every other key of the shard, but for rows of segments |
//! | `{P:E:C:I:S}:segments` | set | the keys of rows of segments |
//! | `{P:E:C:I:S}:row:NAME` | string | a row: big-endian 64-bit integers, `BITFIELD ... i64 #column` |
//! | `{P:E:C:I:S}:notes` | hash | slot -> stamp (big-endian 64 bits) and bytes |
//! | `{P:E:C:I:S}:units` | hash | digests of exposed units, in a table |
//! | `{P:E:C:I:S}:labels` | hash | digests and labels of those that have one, in a table |
//! | `{P:E:C:I:S}:events:LENGTH:N` | hash | digests of events counted in the Nth window of LENGTH ms; expires |
//! | `{P:E:C:I:S}:writer:NAME` | string | number and answers of the writer's last batch; expires |
//! | `{P:catalog}:experiments` | hash | experiment id -> revision and record |
//! | `{P:catalog}:removals` | hash | experiment id -> shards whose data is being deleted |
//! | `{P:catalog}:version` | string | a number, raised by every change of a record |
//! | `{P:catalog}:format` | string | the form of the records, written with the first record |
//! | `{P:catalog}:audit` | stream | heads of the audit log's events; ids are versions |
//! | `{P:catalog}:audited` | hash | version -> payload of that event; `bytes` -> size of the log |
//! | `{P:catalog}:log` | stream | the last changes: version before, experiment; its ids are versions |
//! | `{P:catalog}:importing` | string | token of the import under way; expires |
//! | `{P:catalog}:import:...` | | `experiments`, `audit`, `audited` of an import that is not committed, and the removals that it has `claims` to |
//! | `{P:catalog}:changes` | channel | the new version, after every change |
//!
//! P is the prefix of the installation, E the experiment, C its incarnation in hexadecimal, I its
//! iteration, S the shard. What
//! stands in braces is the *hash tag*: Redis Cluster places a key by its tag alone. All keys of a
//! shard share one tag, so that one script may touch them all; different shards have different
//! tags, so that a hot experiment spreads over the cluster. The directory makes `KEYS` and `SCAN`
//! superfluous: reading and deleting a shard cost what the shard holds, not what Redis holds.
//!
//! For a *digest* see [`crate::store::Digest`], for a *window* [`crate::store::Window`]. A *table* is a linear hash table in one Redis hash; `apply.lua`
//! says how. It grows by splitting one bucket at a time, so there is no size at which it gets
//! worse; but one key is one piece, which a cluster moves at once: beyond some 10^7 digests in a
//! shard (130 MB), use more shards.
//!
//! No tag equals another: ids hold no `:`, so a tag read from its end gives shard, iteration,
//! incarnation, experiment and prefix again, and `catalog` is no number.

use std::fmt;

use crate::domain::counter::ShardKey;
use crate::domain::experiment::Incarnation;
use crate::domain::id::ExperimentId;
use crate::store::Window;
use crate::store::portable::Set;

/// Raised when the keys of this release can no longer be read by the previous one.
pub(super) const FORMAT: u64 = 1;

/// What all keys of an installation start with, so that several can share one Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// Why a text is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key prefix holds no '{{' and no '}}': they would end the hash tag")]
pub struct InvalidPrefix;

impl Default for Prefix {
    fn default() -> Self {
        Self("tiebreak".to_owned())
    }
}

impl TryFrom<String> for Prefix {
    type Error = InvalidPrefix;

    fn try_from(text: String) -> Result<Self, InvalidPrefix> {
        if text.contains(['{', '}']) { Err(InvalidPrefix) } else { Ok(Self(text)) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A hash tag, braces included.
#[derive(Debug, Clone)]
pub(super) struct Tag(String);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys of one shard.
#[derive(Debug, Clone)]
pub(super) struct ShardKeys {
    tag: Tag,
}

impl ShardKeys {
    pub(super) fn new(prefix: &Prefix, shard: &ShardKey) -> Self {
        let ShardKey { experiment, incarnation, iteration, shard } = shard;
        let incarnation = incarnation.0;
        Self { tag: Tag(format!("{{{prefix}:{experiment}:{incarnation:x}:{iteration}:{shard}}}")) }
    }

    pub(super) fn tag(&self) -> &Tag {
        &self.tag
    }

    pub(super) fn directory(&self) -> String {
        format!("{}:directory", self.tag)
    }

    /// What [`Self::directory`] is for the rows of segments: nobody who reads the others pays.
    pub(super) fn segments(&self) -> String {
        format!("{}:segments", self.tag)
    }

    pub(super) fn labels(&self) -> String {
        format!("{}:labels", self.tag)
    }

    pub(super) fn notes(&self) -> String {
        format!("{}:notes", self.tag)
    }

    pub(super) fn units(&self) -> String {
        format!("{}:units", self.tag)
    }

    /// What the keys of windows of a length start with: a window's number is added by the script,
    /// which alone knows the time of the store.
    pub(super) fn events(&self, window_milliseconds: u64) -> String {
        format!("{}:events:{window_milliseconds}:", self.tag)
    }

    /// The table of a set.
    pub(super) fn set(&self, set: Set) -> String {
        match set {
            Set::Units => self.units(),
            Set::Labels => self.labels(),
            Set::Events(window) => format!("{}{}", self.events(window.length()), window.number()),
        }
    }

    /// The window in the key of a table of events; `None` for any other key.
    pub(super) fn window(&self, key: &str) -> Option<Window> {
        let name = key.strip_prefix(&self.tag.0)?.strip_prefix(":events:")?;
        let (length, number) = name.split_once(':')?;
        Some(Window::new(length.parse().ok()?, number.parse().ok()?))
    }

    pub(super) fn writer(&self, name: &str) -> String {
        format!("{}:writer:{name}", self.tag)
    }

    pub(super) fn row(&self, name: &str) -> String {
        format!("{}:row:{name}", self.tag)
    }

    /// The name in the key of a row; `None` for any other key.
    pub(super) fn row_name<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.tag.0)?.strip_prefix(":row:")
    }
}

/// The keys of the records.
#[derive(Debug, Clone)]
pub(super) struct CatalogKeys {
    pub(super) tag: Tag,
    pub(super) experiments: String,
    pub(super) removals: String,
    pub(super) version: String,
    pub(super) format: String,
    pub(super) audit: String,
    pub(super) audited: String,
    pub(super) log: String,
    pub(super) changes: String,
}

impl CatalogKeys {
    pub(super) fn new(prefix: &Prefix) -> Self {
        let tag = Tag(format!("{{{prefix}:catalog}}"));
        let key = |name| format!("{tag}:{name}");
        Self {
            experiments: key("experiments"),
            removals: key("removals"),
            version: key("version"),
            format: key("format"),
            audit: key("audit"),
            audited: key("audited"),
            log: key("log"),
            changes: key("changes"),
            tag,
        }
    }
}

/// The keys of an import that is not committed.
#[derive(Debug, Clone)]
pub(super) struct ImportKeys {
    pub(super) token: String,
    pub(super) experiments: String,
    pub(super) claims: String,
    pub(super) audit: String,
    pub(super) audited: String,
}

impl ImportKeys {
    pub(super) fn new(prefix: &Prefix) -> Self {
        let tag = Tag(format!("{{{prefix}:catalog}}"));
        let key = |name| format!("{tag}:import:{name}");
        Self {
            token: format!("{tag}:importing"),
            experiments: key("experiments"),
            claims: key("claims"),
            audit: key("audit"),
            audited: key("audited"),
        }
    }

    /// What an import that was given up leaves.
    pub(super) fn laid_aside(&self) -> [&str; 4] {
        [&self.experiments, &self.claims, &self.audit, &self.audited]
    }
}

/// Writes down which shards of an experiment are being removed: `incarnation/iteration/shard`,
/// separated by blanks. Shards of another experiment are left out: a record owns only its own data.
pub(super) fn write_shards(id: &ExperimentId, shards: &[ShardKey]) -> String {
    let own = shards.iter().filter(|shard| shard.experiment == *id);
    let names: Vec<String> = own.map(write_shard).collect();
    names.join(" ")
}

fn write_shard(key: &ShardKey) -> String {
    format!("{:x}/{}/{}", key.incarnation.0, key.iteration, key.shard)
}

/// Reads what [`write_shards`] wrote; `None` when it did not.
pub(super) fn read_shards(id: &ExperimentId, text: &str) -> Option<Vec<ShardKey>> {
    let parse = |name: &str| {
        let (incarnation, rest) = name.split_once('/')?;
        let (iteration, shard) = rest.split_once('/')?;
        let incarnation = Incarnation(u64::from_str_radix(incarnation, 16).ok()?);
        let (iteration, shard) = (iteration.parse().ok()?, shard.parse().ok()?);
        Some(ShardKey { experiment: id.clone(), incarnation, iteration, shard })
    };
    text.split_whitespace().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(iteration: u32, shard: u32) -> ShardKey {
        let experiment = ExperimentId::parse("a-b").unwrap();
        ShardKey { experiment, incarnation: Incarnation(0xab), iteration, shard }
    }

    /// As Redis Cluster defines it.
    fn hash_tag(key: &str) -> &str {
        let start = key.find('{').unwrap() + 1;
        let length = key[start..].find('}').unwrap();
        &key[start..start + length]
    }

    #[test]
    fn all_keys_of_a_shard_share_one_hash_tag() {
        for prefix in ["tiebreak", "", "a:b", "team *[x]?é \n"] {
            let prefix = Prefix::try_from(prefix.to_owned()).unwrap();
            let keys = ShardKeys::new(&prefix, &shard(3, 63));
            let tag = format!("{prefix}:a-b:ab:3:63");
            for key in [
                keys.directory(),
                keys.segments(),
                keys.labels(),
                keys.notes(),
                keys.units(),
                keys.events(7),
                keys.row("x/v/0/a}b{"),
            ] {
                assert_eq!(hash_tag(&key), tag);
            }
            let keys = CatalogKeys::new(&prefix);
            let CatalogKeys {
                experiments,
                removals,
                version,
                format,
                audit,
                audited,
                log,
                changes,
                tag: _,
            } = keys;
            for key in [experiments, removals, version, format, audit, audited, log, changes] {
                assert_eq!(hash_tag(&key), format!("{prefix}:catalog"));
            }
        }
    }

    #[test]
    fn a_row_key_gives_its_name_again() {
        let keys = ShardKeys::new(&Prefix::default(), &shard(1, 0));
        for name in ["e/v", "x/v/-2/a:b}", "c/v/row:"] {
            assert_eq!(keys.row_name(&keys.row(name)), Some(name));
        }
        assert_eq!(keys.row_name(&keys.units()), None);
        let other = ShardKeys::new(&Prefix::default(), &shard(1, 1));
        assert_eq!(keys.row_name(&other.row("e/v")), None);
    }

    #[test]
    fn a_key_of_events_gives_its_window_again() {
        let keys = ShardKeys::new(&Prefix::default(), &shard(1, 0));
        let window = Window::new(604_800_000, 2_931);
        assert_eq!(keys.window(&keys.set(Set::Events(window))), Some(window));
        for other in [keys.units(), keys.labels(), keys.row("events:1:2"), keys.events(7)] {
            assert_eq!(keys.window(&other), None);
        }
    }

    #[test]
    fn a_brace_would_end_the_tag() {
        for bad in ["{", "}", "a}b"] {
            assert_eq!(Prefix::try_from(bad.to_owned()), Err(InvalidPrefix));
        }
    }

    #[test]
    fn a_list_of_shards_comes_back() {
        let id = ExperimentId::parse("a-b").unwrap();
        for shards in [vec![], vec![shard(1, 0)], vec![shard(1, 0), shard(2, 63)]] {
            assert_eq!(read_shards(&id, &write_shards(&id, &shards)), Some(shards));
        }
        for bad in ["1", "1/0", "1/a/b", "1/1/0/2", "1/-1/0", "x/1/0"] {
            assert_eq!(read_shards(&id, bad), None);
        }
    }
}
