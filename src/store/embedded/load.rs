//! Opening a directory: from what is on disk to the state it stands for.

use fjall::Guard;

use crate::domain::id::ExperimentId;
use crate::store::embedded::disk::Disk;
use crate::store::embedded::format;
use crate::store::embedded::state::State;
use crate::store::{Note, StoreError, codec};

/// Reads everything; finishes removals that a crash interrupted.
pub(super) fn load(disk: &mut Disk) -> Result<State, StoreError> {
    check_format(disk)?;
    finish_erasing(disk)?;
    let mut state = State::default();
    load_records(disk, &mut state)?;
    for item in disk.keyspaces.audit.iter() {
        let (number, event) = pair(item)?;
        state.audit.add(format::number(&number)?, format::parse_audit_event(&event)?);
    }
    for item in disk.keyspaces.rows.iter() {
        let (key, row) = pair(item)?;
        let (shard, name) = format::split_row(&key)?;
        let rows = &mut state.shards.entry(shard).or_default().rows;
        rows.insert(name, format::parse_counters(&row)?);
    }
    for item in disk.keyspaces.notes.iter() {
        let (key, note) = pair(item)?;
        let (shard, slot) = format::split_note(&key)?;
        let notes = &mut state.shards.entry(shard).or_default().notes;
        notes.insert(slot, Note::from_stored(&note)?);
    }
    for item in disk.keyspaces.units.iter() {
        let (key, label) = pair(item)?;
        let (shard, unit) = format::split_unit(&key)?;
        let shard = state.shards.entry(shard).or_default();
        shard.units.insert(unit);
        shard.labels.extend(format::parse_label(&label)?.map(|label| (unit, label)));
    }
    for window in disk.windows()?.into_iter().filter(|window| disk.remembers(*window)) {
        for item in disk.keyspaces.events.prefix(format::window(window)) {
            let (key, _) = pair(item)?;
            let (_, rest) = format::split_window(&key)?;
            let (shard, event) = format::split_unit(rest)?;
            let events = &mut state.shards.entry(shard).or_default().events;
            events.entry(window).or_default().insert(event);
        }
    }
    replay(disk, &mut state)?;
    Ok(state)
}

fn check_format(disk: &Disk) -> Result<(), StoreError> {
    let stored = disk.keyspaces.meta.get("format").map_err(StoreError::unavailable)?;
    let stored = stored.ok_or_else(|| format::corrupt("it is the database of another program"))?;
    match format::number(&stored)? {
        format::FORMAT => Ok(()),
        other => Err(format::corrupt(&codec::of_another_release(other, format::FORMAT))),
    }
}

fn finish_erasing(disk: &mut Disk) -> Result<(), StoreError> {
    let mut shards = Vec::new();
    for item in disk.keyspaces.erasing.iter() {
        shards.push(format::split_shard(&pair(item)?.0)?.0);
    }
    disk.erasing.add(shards);
    while disk.erase_step()? {}
    Ok(())
}

fn load_records(disk: &Disk, state: &mut State) -> Result<(), StoreError> {
    for item in disk.keyspaces.records.iter() {
        let (key, record) = pair(item)?;
        let experiment = codec::decode(&record)?;
        let id: &ExperimentId = experiment.id();
        if *key != *id.as_str().as_bytes() {
            return Err(format::corrupt("a record stands under another experiment's name"));
        }
        state.records.insert(id.clone(), experiment);
    }
    let version = disk.keyspaces.meta.get("version").map_err(StoreError::unavailable)?;
    state.version = version.map_or(Ok(0), |bytes| format::number(&bytes))?;
    Ok(())
}

fn replay(disk: &mut Disk, state: &mut State) -> Result<(), StoreError> {
    for item in disk.keyspaces.log.iter() {
        let (number, record) = pair(item)?;
        for (key, sums) in format::parse_log_record(&record)? {
            disk.dirty.extend(sums.keys().map(|row| (key.clone(), row.clone())));
            state.shards.entry(key).or_default().add(&sums);
        }
        disk.next = format::number(&number)? + 1;
        disk.log_bytes += u64::try_from(record.len()).unwrap_or(u64::MAX);
    }
    Ok(())
}

fn pair(item: Guard) -> Result<(fjall::UserKey, fjall::UserValue), StoreError> {
    item.into_inner().map_err(StoreError::unavailable)
}
