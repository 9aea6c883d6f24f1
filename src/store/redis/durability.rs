//! What an acknowledgement of a Redis is worth, by its settings. Who may not read them, as with
//! most rented ones, is told so: what cannot be found out is not promised.

use redis::{Cmd, FromRedisValue, InfoDict, RedisError, cmd};

use crate::store::redis::error::{classify, is_refusal};
use crate::store::redis::way::Way;
use crate::store::{Durability, Level, StoreError};

const REMEDY: &str = "set `appendonly yes`, `appendfsync always` and `no-appendfsync-on-rewrite no` \
                      in redis.conf, or keep the store on disk with --store embedded:DIR";

/// What Redis tells about itself; `None` is what it does not tell.
#[derive(Debug, Clone, Default)]
struct Facts {
    append_only: Option<bool>,
    /// `always`, `everysec` or `no`.
    append_fsync: Option<String>,
    /// Whether it stops syncing while it rewrites its file.
    pauses_for_rewrite: Option<bool>,
    /// When it writes snapshots; empty for never.
    save: Option<String>,
    is_replica: bool,
    replicas: u64,
    /// How many replicas must be in reach for it to take writes.
    replicas_needed: Option<u64>,
}

/// Asks a Redis what its acknowledgements are worth.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) async fn of(way: &mut Way) -> Result<Durability, StoreError> {
    let facts = ask(way).await.map_err(classify)?;
    Ok(judge(&facts))
}

async fn ask(way: &mut Way) -> Result<Facts, RedisError> {
    let persistence: Option<InfoDict> = told(way, cmd("INFO").arg("persistence")).await?;
    let replication: Option<InfoDict> = told(way, cmd("INFO").arg("replication")).await?;
    let number = |from: &Option<InfoDict>, name| from.as_ref()?.get::<u64>(name);
    let known_from_info = number(&persistence, "aof_enabled").map(|enabled| enabled == 1);
    let append_only = setting(way, "appendonly").await?.map(|text| text == "yes");
    let role: Option<String> = replication.as_ref().and_then(|info| info.get("role"));
    Ok(Facts {
        append_only: append_only.or(known_from_info),
        append_fsync: setting(way, "appendfsync").await?,
        pauses_for_rewrite: (setting(way, "no-appendfsync-on-rewrite").await?)
            .map(|text| text == "yes"),
        save: setting(way, "save").await?,
        is_replica: role.is_some_and(|role| role == "slave"),
        replicas: number(&replication, "connected_slaves").unwrap_or_default(),
        replicas_needed: setting(way, "min-replicas-to-write")
            .await?
            .and_then(|text| text.parse().ok()),
    })
}

async fn setting(way: &mut Way, name: &str) -> Result<Option<String>, RedisError> {
    let told: Option<Vec<String>> = told(way, cmd("CONFIG").arg("GET").arg(name)).await?;
    Ok(told.and_then(|pair| pair.into_iter().nth(1)))
}

/// The answer; `None` when this user may not ask.
async fn told<T: FromRedisValue>(way: &mut Way, question: &Cmd) -> Result<Option<T>, RedisError> {
    match way.send(question).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn judge(facts: &Facts) -> Durability {
    let (level, meaning) = of_file(facts);
    let remedy = if level == Level::Fsync { String::new() } else { REMEDY.to_owned() };
    Durability { level, meaning: meaning + &of_replication(facts), remedy }
}

fn of_file(facts: &Facts) -> (Level, String) {
    let on_disk = "an acknowledged outcome is on the disk of Redis (appendfsync always)";
    let in_redis = "an acknowledged outcome is in Redis, whose death or power cut loses";
    match (facts.append_only, facts.append_fsync.as_deref(), facts.pauses_for_rewrite) {
        (Some(true), Some("always"), Some(false)) => {
            let survives = "it survives the death of server and Redis and a power cut";
            (Level::Fsync, format!("{on_disk}: {survives}"))
        }
        (Some(true), Some("always"), Some(true)) => {
            let except = "except while it rewrites its file (no-appendfsync-on-rewrite yes)";
            (Level::Process, format!("{on_disk}, {except}"))
        }
        (Some(true), Some("everysec"), _) => {
            (Level::Process, format!("{in_redis} up to two seconds (appendfsync everysec)"))
        }
        (Some(true), Some("no"), _) => {
            let until = "what the system had not written, often half a minute (appendfsync no)";
            (Level::Process, format!("{in_redis} {until}"))
        }
        (Some(false), ..) => match facts.save.as_deref() {
            Some("") => (Level::Process, format!("{in_redis} everything (appendonly no, no save)")),
            Some(save) => {
                let since =
                    format!("everything since the last snapshot (appendonly no, save {save})");
                (Level::Process, format!("{in_redis} {since}"))
            }
            None => {
                let since = "at least everything since the last snapshot (it keeps no append-only \
                             file)";
                (Level::Process, format!("{in_redis} {since}"))
            }
        },
        (Some(true) | None, ..) => {
            let unknown = "an acknowledged outcome is in Redis; whether it is on disk is unknown, \
                           because this user may not read the settings (CONFIG GET): ask who runs \
                           it about appendfsync";
            (Level::Process, unknown.to_owned())
        }
    }
}

fn of_replication(facts: &Facts) -> String {
    if facts.is_replica {
        return "; this Redis is a replica and takes no outcomes: name the master".to_owned();
    }
    let needed = match facts.replicas_needed {
        Some(needed @ 1..) => format!(", and it takes none unless {needed} are in reach"),
        Some(0) | None => String::new(),
    };
    match facts.replicas {
        0 if needed.is_empty() => String::new(),
        count => format!(
            "; its {count} replicas get it a moment later, so a failover may lose what was \
             acknowledged last{needed}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable() -> Facts {
        Facts {
            append_only: Some(true),
            append_fsync: Some("always".to_owned()),
            pauses_for_rewrite: Some(false),
            save: Some("3600 1".to_owned()),
            ..Facts::default()
        }
    }

    #[test]
    fn only_what_is_known_to_be_on_disk_is_promised() {
        let fsync = |text: &str| Some(text.to_owned());
        let without = || Facts { append_only: Some(false), ..durable() };
        let cases = [
            (durable(), Level::Fsync, "a power cut"),
            (Facts { pauses_for_rewrite: Some(true), ..durable() }, Level::Process, "rewrites"),
            (Facts { append_fsync: fsync("everysec"), ..durable() }, Level::Process, "two seconds"),
            (Facts { append_fsync: fsync("no"), ..durable() }, Level::Process, "half a minute"),
            (without(), Level::Process, "snapshot (appendonly no, save 3600 1)"),
            (Facts { save: fsync(""), ..without() }, Level::Process, "everything (appendonly no"),
            (Facts { save: None, ..without() }, Level::Process, "at least everything"),
            (Facts { append_fsync: None, ..durable() }, Level::Process, "unknown"),
            (Facts { pauses_for_rewrite: None, ..durable() }, Level::Process, "unknown"),
            (Facts::default(), Level::Process, "unknown"),
        ];
        for (facts, level, words) in cases {
            let judged = judge(&facts);
            assert_eq!(judged.level, level, "{facts:?}");
            assert!(judged.meaning.contains(words), "{}", judged.meaning);
            assert_eq!(judged.remedy.is_empty(), level == Level::Fsync, "{facts:?}");
        }
    }

    #[test]
    fn replicas_are_told_of() {
        let told = |facts: Facts| judge(&facts).meaning;
        assert!(!told(durable()).contains("replica"));
        assert!(told(Facts { replicas: 2, ..durable() }).contains("its 2 replicas"));
        let needed = told(Facts { replicas: 1, replicas_needed: Some(1), ..durable() });
        assert!(needed.contains("unless 1 are in reach"), "{needed}");
        let replica = told(Facts { is_replica: true, ..durable() });
        assert!(replica.contains("takes no outcomes"), "{replica}");
    }
}
