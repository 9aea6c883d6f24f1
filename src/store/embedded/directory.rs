//! Makes a directory a store, as a whole or not at all.
//!
//! The engine creates its files one after the other and takes a half made directory for a broken
//! one. So a new store is made aside, in a directory inside the directory, and its files are moved
//! in, last the one by which the engine knows a database. Whatever a crash leaves before that is
//! cleared away by the next attempt: nothing was promised yet. Inside, and not beside, because
//! the directory may be a mount point.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use fjall::{Database, PersistMode};

use crate::store::StoreError;
use crate::store::embedded::disk::{InUse, Keyspaces};
use crate::store::embedded::format;

/// The file by which the engine knows a database.
const MARKER: &str = "version";
const LOCK: &str = "lock";
/// Where a new store is made.
const ASIDE: &str = "new";

/// A directory that is no store and must not become one.
#[derive(Debug, thiserror::Error)]
enum NoStore {
    #[error("there is no store in {0}")]
    Absent(String),
    #[error("{0} is no store, and it is not empty: it holds '{1}'")]
    Occupied(String, String),
}

/// Makes sure that a directory holds a store.
///
/// # Errors
/// [`StoreError::Unavailable`] when it holds something else, or nothing and `create` is not set,
/// or cannot be used.
pub(super) fn prepare(path: &Path, create: bool) -> Result<(), StoreError> {
    if path.join(MARKER).try_exists().map_err(StoreError::unavailable)? {
        return tidy_up(path).map_err(StoreError::unavailable);
    }
    let shown = path.display().to_string();
    if !create {
        return Err(StoreError::unavailable(NoStore::Absent(shown)));
    }
    fs::create_dir_all(path).map_err(StoreError::unavailable)?;
    if let Some(other) = foreign_entry(path).map_err(StoreError::unavailable)? {
        return Err(StoreError::unavailable(NoStore::Occupied(shown, other)));
    }
    let lock = File::create(path.join(LOCK)).map_err(StoreError::unavailable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::unavailable(InUse(shown))),
        Err(TryLockError::Error(error)) => return Err(StoreError::unavailable(error)),
    }
    clear(path).map_err(StoreError::unavailable)?;
    make(&path.join(ASIDE))?;
    move_in(path).map_err(StoreError::unavailable)
}

/// The name of something that an attempt to make a store does not leave behind.
fn foreign_entry(path: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let ours = name == LOCK || is_remnant(&name);
        // The root of a file system has a directory of its own.
        if !ours && name != "lost+found" {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

fn is_remnant(name: &OsStr) -> bool {
    name == ASIDE || name == "keyspaces" || Path::new(name).extension() == Some(OsStr::new("jnl"))
}

fn clear(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !is_remnant(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn make(path: &Path) -> Result<(), StoreError> {
    let database = Database::builder(path).open().map_err(StoreError::unavailable)?;
    let keyspaces = Keyspaces::open(&database)?;
    let format = format::FORMAT.to_be_bytes();
    keyspaces.meta.insert("format", format).map_err(StoreError::unavailable)?;
    database.persist(PersistMode::SyncAll).map_err(StoreError::unavailable)
}

fn move_in(path: &Path) -> io::Result<()> {
    let aside = path.join(ASIDE);
    for entry in fs::read_dir(&aside)? {
        let name = entry?.file_name();
        if is_remnant(&name) {
            fs::rename(aside.join(&name), path.join(&name))?;
        }
    }
    File::open(path)?.sync_all()?;
    fs::rename(aside.join(MARKER), path.join(MARKER))?;
    File::open(path)?.sync_all()?;
    tidy_up(path)
}

fn tidy_up(path: &Path) -> io::Result<()> {
    let aside = path.join(ASIDE);
    if aside.try_exists()? { fs::remove_dir_all(aside) } else { Ok(()) }
}
