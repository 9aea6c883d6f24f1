//! What adding to one cell of a row of 1,024 counters costs Redis in each way that a script has.
//!
//! ```sh
//! cargo run --release --example row_layouts
//! ```
//!
//! `docs/performance.md` has the figures.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, or ends")]

use std::process::{Command, Stdio};
use std::time::Duration;

/// Every script takes a row, its cells (column, high, low) and how often to add them. This one
/// reads the row, adds and writes it back; it sees every counter, so the limit is checked.
const PIECES: &str = r"
for _ = 1, tonumber(ARGV[2]) do
  local row = redis.call('GETRANGE', KEYS[1], 0, 8191)
  row = row .. string.rep('\0', 8192 - #row)
  local pieces, at, kept = {}, 1, 1
  while at <= #ARGV[1] do
    local column, high, low
    column, high, low, at = struct.unpack('>I4i4I4', ARGV[1], at)
    local now_high, now_low = struct.unpack('>i4I4', row, 8 * column + 1)
    low = low + now_low
    local carry = math.floor(low / 4294967296)
    pieces[#pieces + 1] = string.sub(row, kept, 8 * column)
    pieces[#pieces + 1] = struct.pack('>i4I4', high + now_high + carry, low - carry * 4294967296)
    kept = 8 * column + 9
  end
  redis.call('SETRANGE', KEYS[1], 0, table.concat(pieces))
end";

/// One BITFIELD to look at the counters, one to add.
const BITFIELD: &str = r"
for _ = 1, tonumber(ARGV[2]) do
  local look, add, at = {'BITFIELD', KEYS[1]}, {'BITFIELD', KEYS[1], 'OVERFLOW', 'FAIL'}, 1
  while at <= #ARGV[1] do
    local column, high, low
    column, high, low, at = struct.unpack('>I4i4I4', ARGV[1], at)
    for _, word in ipairs({'GET', 'i64', '#' .. column}) do look[#look + 1] = word end
    for _, word in ipairs({'INCRBY', 'i64', '#' .. column, low}) do add[#add + 1] = word end
  end
  redis.call(unpack(look))
  redis.call(unpack(add))
end";

/// A hash, one HINCRBY for each cell, no check.
const HINCRBY: &str = r"
for _ = 1, tonumber(ARGV[2]) do
  local at = 1
  while at <= #ARGV[1] do
    local column, high, low
    column, high, low, at = struct.unpack('>I4i4I4', ARGV[1], at)
    redis.call('HINCRBY', KEYS[1], column, low)
  end
end";

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let mut server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "yes", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let client = redis::Client::open(format!("redis+unix://{}", socket.display())).unwrap();
    let mut connection = loop {
        match client.get_connection() {
            Ok(connection) => break connection,
            Err(_) => std::thread::yield_now(),
        }
    };
    println!(
        "{:>6} {:>12} {:>12} {:>12}  ns of Redis for a cell",
        "cells", "pieces", "BITFIELD", "HINCRBY"
    );
    for touched in [1_u32, 32, 128, 400] {
        let mut figures = Vec::new();
        for (name, source) in [("p", PIECES), ("b", BITFIELD), ("h", HINCRBY)] {
            let cells: Vec<u8> = (0..touched)
                .flat_map(|cell| [cell * 1_024 / touched, 0, 987_654_321 - cell])
                .flat_map(u32::to_be_bytes)
                .collect();
            let (rounds, times) = (20, 100_000 / touched / 20 + 1);
            let script = redis::Script::new(source);
            let before = cpu(server.id());
            for _ in 0..rounds {
                let mut call = script.key(format!("{name}{touched}"));
                let () = call.arg(&cells).arg(times).invoke(&mut connection).unwrap();
            }
            let spent = cpu(server.id()).saturating_sub(before);
            figures.push(spent.as_nanos() / u128::from(rounds * times * touched));
        }
        println!("{touched:6} {:12} {:12} {:12}", figures[0], figures[1], figures[2]);
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

/// User and system time of a process; a clock tick is 10 ms on Linux.
fn cpu(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
